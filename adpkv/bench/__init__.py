"""How fast it is: one module per figure, each with its reference measured in the same run.

Bench code is an outermost layer like the command line: it may use everything, nothing uses it but
`cli/bench`. Programs that mpirun starts (`*_ranks`) and children that are measured from outside
(`trace_child`) are modules of their own, run with `python -m`.
"""
