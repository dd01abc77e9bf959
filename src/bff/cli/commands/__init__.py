"""What each command takes: its arguments, options and help. Nothing else.

A command imports its own work (the modules of `bff.cli`) when it runs, so that `bff --help` answers at once.
"""
