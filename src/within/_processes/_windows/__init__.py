"""Children on Windows: the same names and rules as on POSIX, by other means.

``_child``, ``_files``, ``_log`` and ``_pump`` replace the modules of ``_posix`` with the
same names; ``_platform`` chooses between them. Nothing here is imported on another
system.

- ``_kernel`` declares the calls of Windows, and ``_handles`` keeps what they open. The
  tree of a child is a job object, which no process in it can leave.
- ``_completions`` is told when anything that is waited for is ready, in one thread for
  the whole program, and ``_waiting`` lets a task of any loop wait for it.
- ``_pipes`` and ``_files`` make the pipes, and ``_start`` starts the program.
- ``_child``, ``_pump`` and ``_log`` are what the rest of the package sees, and
  ``_connecting`` is for ``listening()``.

The loops' own pipes and processes are not used: they are different on each loop, a
selector loop (which virtual time needs) has none, and a program must be in its job
before it runs.
"""
