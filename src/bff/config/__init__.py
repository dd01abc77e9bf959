"""The configuration: one YAML file, typed, checked as a whole before anything starts.

Nouns: a *setting* is one key of the file; a *reference* names where a secret is kept (`{file: PATH}`, `{env: NAME}`);
a *mark* says how a setting is spelt, or where it stands in the file; a *problem* is one thing wrong, and where.

    model.py                        the manual: every key, its type, its default, its spelling
    load.py                         the recipe: YAML file -> Config, or every problem at once
    yaml_tree.py, reader.py        YAML -> tree with marks -> typed sections
    shapes.py                       the models taken apart; json_schema.py: the file's JSON Schema, made from them
    defaults.py, checks.py          what follows from other keys; what contradicts them, in provider_checks.py, client_auth_checks.py,
                                    sign_in_checks.py, route_checks.py, origin_checks.py and tls_checks.py
    weaknesses.py                   what a sound configuration gives away or lacks
    insecure.py                     the keys that weaken security, for the log of each start
    in_force.py                     the configuration as YAML again, without secrets
    adoption.py                     what of another configuration a running process can take on
    values/                         how one value is spelt, and the class that it is parsed into
    variables.py                    `${NAME}` inside a text
    spelling.py, problems.py        the marks on the model; what is wrong, and where

Nothing here knows OAuth messages, sessions or sockets; only `yaml_tree.py` knows YAML.
"""
