"""Children on POSIX: what a child, its tree and its pipes are made of there.

``_platform`` chooses between these modules and those for Windows. From the bottom up:

- ``_marks``, ``_tree`` and ``_census`` find the processes that belong to a child,
  ``_helpers`` those of them that still deal with its output;
- ``_fork`` and ``_spawn`` start a program, ``_files`` makes its pipes, ``_terminal`` a
  terminal for it, and ``_exit`` tells of its exit;
- ``_lost`` and ``_orphans`` reap what nobody else can;
- ``_guard`` ends our trees if this program is killed. ``_guarding`` is what the guard
  runs, in an interpreter of its own;
- ``_tty`` and ``_foreground`` lend our own terminal to a child that asks for it;
- ``_family`` is everything that is ended with one child, and ``_child`` is the child, in
  a ``_state``;
- ``_pump`` waits for descriptors, ``_log`` reads the output of a server.
"""
