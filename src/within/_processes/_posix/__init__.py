"""Children on POSIX: the child, its tree, its pipes and its terminal.

``_platform`` chooses between these modules and those for Windows. From the bottom up:

- ``_marks``, ``_tree`` and ``_census`` find the processes that belong to a child,
  ``_helpers`` those of them that are still reading its output;
- ``_fork`` and ``_spawn`` start a program, ``_files`` makes its pipes, ``_terminal`` a
  terminal for it, and ``_exit`` reports its exit;
- ``_lost`` and ``_orphans`` reap the processes that nothing else would reap;
- ``_guard`` ends our trees if this program is killed. ``_guarding`` is what the guard
  runs, in an interpreter of its own;
- ``_tty`` and ``_foreground`` lend our own terminal to a child that asks for it;
- ``_family`` is everything that is ended with one child, ``_child`` is the child, and
  ``_state`` names the states of its life;
- ``_pump`` waits for descriptors, ``_log`` reads the output of a server.
"""
