"""The commands an operator types: `bff serve`, `bff check`, `bff routes`, `bff explain` and others.

`main.py` declares them; each command's work is in a file of its own and is imported when the command runs, so that `bff --help`
answers at once. `protocol.py` is uvicorn's HTTP/1.1 with limits, `logs.py` what is written to standard error.
"""
