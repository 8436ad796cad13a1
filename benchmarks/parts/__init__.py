"""The parts of the three programs in the folder above.

`environment` and `measuring` are used by all others. Each subject (`one_timeout`,
`many_timeouts`, `anatomy`, `lateness`, `processes`, `many_children`, `command`,
`imports`) makes figures for `speed.py`, and `curves` measures some of them at growing
sizes. `peer_children` has each peer's way to run a child. `report` and `pictures` show
the results. `table_timeouts`, `table_processes` and `table_programs` fill the two tables
of `tables.py`, whose shape is in `table`. `soak_runs` and `soak_holdings` belong to
`soak.py`.
"""
