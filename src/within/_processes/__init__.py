"""Child processes: starting them, their pipes, waiting for them and stopping them.

From the bottom up:

- ``_plan`` (:class:`Stop`), ``_activity``, ``_errors`` and ``_incomplete`` only hold
  data. ``_typed`` names a command in messages.
- ``_command`` checks a command. ``_platform`` chooses between ``_posix`` and
  ``_windows``, each of which has its own child, files, log and pump. ``_child``,
  ``_files``, ``_log_thread`` and ``_pump`` have what both share, and ``_descriptors``
  keeps open descriptors from being lost.
- ``_ends`` reads and writes the pipes, ``_rest`` decides how long to wait for output
  after the exit, and ``_stopping`` ends the child.
- ``_pipe_reader`` reads one output, and ``_streams`` has the byte streams that users
  see. ``_decoding`` decodes bytes, ``_decoded`` buffers the text, ``_text`` reads it, and
  ``_output_lines`` reads the lines of both outputs. ``_exiting`` waits for the exit
  at the end of the output, and ``_communication`` writes and reads everything at once.
- ``_options`` has the types of the arguments, and ``_pty`` checks those for a terminal.
  ``_open`` (:func:`process`), ``_process`` with ``_dialogue``, and ``_run`` are what
  users see. For ``run()``, ``_capture`` makes the result, ``_keep`` keeps as much of the
  output as was asked for, and ``_live`` calls ``on_output``.
- ``_open_server`` (:func:`server`) starts a ``_server``: a process whose block is
  entered when it is ready (``_ready``, ``_listening``). A thread reads its output all
  the time (``_log_thread``) and keeps the end of it (``_log_end``).
- ``_public`` has the names that users import.
"""
