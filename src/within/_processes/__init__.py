"""One child's life: starting it, its pipes, waiting for it, stopping it, run().

``_command`` checks what is asked for, ``_child`` starts, signals and reaps,
``_exit`` tells of the exit, ``_census`` and ``_tree`` of who else is there,
``_pump`` moves bytes and waits, ``_stop`` ends it all; ``_process`` (with
``_pipes`` and ``_lines``) and ``_run`` are what users see.
"""
