"""What to write below `providers:` for each kind of provider: one YAML file for each.

They are the source of `docs/how-to/providers.md`, too.

A *recipe* is a file `KIND.yaml`: its first line is the heading of the page, the others are keys, one on a line. `recipe.py` reads it,
`advice.py` says what no line of it says: which values are examples, and what has to be set up at the provider.
"""
