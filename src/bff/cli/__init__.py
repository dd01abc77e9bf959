"""The commands an operator types: `bff serve`, `bff check`, `bff routes`, `bff explain` and others.

`commands/` declares them and `main.py` lists them; each command's work is in a file of its own here and is imported when the command
runs, so that `bff --help` answers at once. `logs.py` decides what is written to standard error.
"""
