"""One child's life: starting it, its pipes, waiting for it, stopping it, run().

From the bottom up:

- ``_plan`` (:class:`Stop`), ``_results`` and ``_errors`` say what is asked for and
  what comes of it; they only hold data.
- ``_command`` checks a command, ``_fork`` starts it, ``_files`` makes its pipes,
  ``_exit`` reports its exit, ``_census`` and ``_tree`` find the rest of its tree;
  ``_family`` is what is ended with one child, ``_child`` is the child and its states.
- ``_pump`` waits for descriptors, ``_ends`` reads and writes the pipes, ``_rest`` says
  how long to wait after the exit, ``_stopping`` ends the child.
- ``_process`` (with ``_streams`` and ``_lines``) and ``_run`` (with ``_capture``) are
  what users see.
"""
