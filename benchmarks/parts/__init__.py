"""The parts of the three programs in the folder above.

`environment` and `measuring` are the ground floor. Each subject (`one_timeout`,
`many_timeouts`, `anatomy`, `lateness`, `processes`, `imports`) makes figures for
`speed.py`, and `curves` measures some of them at growing sizes. `report` and `pictures`
show the results. `table_timeouts` and `table_processes` fill the two tables of
`tables.py`; `soak_runs` and `soak_holdings` belong to `soak.py`.
"""
