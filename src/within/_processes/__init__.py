"""One child's life: starting it, its pipes, waiting for it, stopping it, run(), server().

From the bottom up:

- ``_plan`` (:class:`Stop`), ``_results`` and ``_errors`` say what is asked for and
  what comes of it; they only hold data.
- ``_command`` checks a command, ``_fork`` starts it, ``_files`` makes its pipes,
  ``_exit`` reports its exit, ``_census`` and ``_tree`` find the rest of its tree;
  ``_family`` is what is ended with one child, ``_child`` is the child and its states.
- ``_pump`` waits for descriptors, ``_ends`` reads and writes the pipes, ``_rest`` says
  how long to wait after the exit, ``_stopping`` ends the child.
- ``_streams`` are the streams of bytes. ``_decoded`` is the text that was made from their
  bytes, ``_text`` reads it, ``_output_lines`` reads that of both outputs; ``_exiting``
  waits for the exit at their end, and ``_communication`` writes and reads all at once.
- ``_pty`` is a terminal of the child, and ``_foreground`` lends it ours.
- ``_options`` has the types of the arguments. ``_open`` (:func:`process`), ``_process``
  with ``_dialogue``, and ``_run`` are what users see. For ``run()``, ``_capture`` holds the
  result, ``_keep`` as much of the output as is wanted, and ``_live`` calls the function
  that watches.
- ``_server`` is a process that is waited for (``_ready``, ``_listening``) and read on all
  the while (``_log``; ``_log_end`` is what it keeps).
"""
