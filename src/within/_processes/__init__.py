"""One child's life: starting it, its pipes, waiting for it, stopping it, run(), server().

From the bottom up:

- ``_plan`` (:class:`Stop`), ``_results`` and ``_errors`` say what is asked for and
  what comes of it; they only hold data.
- ``_command`` checks a command. ``_platform`` chooses what starts it: ``_posix`` and
  ``_windows`` have the child, its files, its tree and its pump, each in its own way.
  ``_files`` and ``_pump`` say what these have in common, ``_activity`` what a process
  is doing, and ``_descriptors`` keeps what is open.
- ``_ends`` reads and writes the pipes, ``_rest`` says how long to wait after the exit,
  ``_stopping`` ends the child.
- ``_pipe_reader`` reads an output, and ``_streams`` are the streams of bytes that users
  see. ``_decoded`` is the text that was made from the bytes, ``_text`` reads it,
  ``_output_lines`` reads that of both outputs; ``_exiting`` waits for the exit at their
  end, and ``_communication`` writes and reads all at once.
- ``_options`` has the types of the arguments; ``_pty`` checks what is asked of a terminal.
  ``_open`` (:func:`process`), ``_process`` with ``_dialogue``, and ``_run`` are what users
  see; ``_as_anyio`` tells anyio of the process. For ``run()``, ``_capture`` holds the
  result, ``_keep`` as much of the output as is wanted, and ``_live`` calls the function
  that watches.
- ``_open_server`` (:func:`server`) starts a ``_server``: a process that is waited for
  (``_ready``, ``_listening``) and read on all the while (``_log``, whose thread is a
  ``_log_thread``; ``_log_end`` is what it keeps).
- ``_public`` has the names that users import.
"""
