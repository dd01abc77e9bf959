"""`python -m bff` is the `bff` command."""

from bff.cli.main import main

main()
