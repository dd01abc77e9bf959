"""What a setting's value may be, one file for each kind. Every value is parsed here, once, and leaves parsed.

    urls.py          Origin (of `public_url`), UpstreamUrl; issuers, endpoints and resources, which stay texts
    stores.py        StoreLocation: where sessions are kept
    hosts.py         host[:port], the part that URLs, stores and addresses share
    addresses.py     addresses to listen on, networks to trust
    paths.py         PathPrefix: where a route begins; folders
    words.py         words out of a list (methods, algorithms, ...), and names with an alphabet
    units.py         durations and sizes
    secrets.py       references to secrets
    certificates.py  files of certificates and keys
    header_changes.py, header_templates.py   fields that are added or taken out; values that name the user

A parser takes the text of the file and returns the value, or raises `SpellingError`, which says what to write instead
and never repeats the text. Nothing here knows YAML or the model.
"""
