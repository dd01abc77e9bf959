"""The configuration: one YAML file, typed, checked as a whole before anything starts.

Nouns: a *setting* is one key of the file; a *reference* names where a secret is kept (`{file: PATH}`, `{env: NAME}`);
a *mark* says how a setting is spelt, or where it stands in the file; a *problem* is one thing wrong, and where.

    model.py                        the manual: every key, its type, its default, its spelling
    load.py                         the recipe: YAML file -> Config, or every problem at once
    yaml_tree.py, reader.py        YAML -> tree with marks -> typed sections
    defaults.py, checks.py        what follows from other keys; what contradicts them (provider_, sign_in_, route_checks)
    insecure.py                     the keys that weaken security, for the log of each start
    values/                         how one value is spelt, and the class that it is parsed into
    variables.py                    `${NAME}` inside a text
    spelling.py, problems.py        the marks on the model; what is wrong, and where

Nothing here knows OAuth messages, sessions or sockets; only `yaml_tree.py` knows YAML.
"""
