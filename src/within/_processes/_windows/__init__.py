"""Children on Windows: the same names and rules, by the means of that system.

Each module stands beside the POSIX one that it replaces; ``_platform`` chooses between
them. Nothing here is imported on another system.

- ``_kernel`` declares the calls of Windows, ``_handles`` keeps what they open;
- ``_job`` is the tree of a child: a job object, which nothing in it can leave;
- ``_completions`` hears of everything that was waited for, in one thread for the whole
  program, and ``_waiting`` lets a task of any loop wait for it;
- ``_pipes`` and ``_files`` make the pipes, ``_start`` starts the program, ``_child`` and
  ``_pump`` are what the rest of the package sees.

The loops' own pipes and processes are not used: each loop has them in another form, a
selector loop (as virtual time needs it) has none, and a program must be in its job
before it runs.
"""
