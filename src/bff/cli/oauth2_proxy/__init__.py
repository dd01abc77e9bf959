"""`bff import oauth2-proxy`: what an oauth2-proxy is configured with, as a `bff.yaml`.

    reading.py   a file of any of its kinds -> settings by the names of its flags
    alpha.py     its structured YAML -> the same settings, upstreams and injected fields
    twins.py     each flag: which key is its twin, or why there is none
    provider.py, routes.py, server.py    the sections of the new file
    writing.py   all of it as text

Rules: a value that may be a secret is never repeated; what restricted access and has no twin becomes a `require` that refuses
everyone until it is replaced.
"""
