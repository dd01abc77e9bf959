"""Calls to a provider: the I/O round the pure functions of `oauth/`.

Nouns: a *provider* is one authorization server, with us as its confidential client. A *document* is what a provider
publishes about itself: its metadata and its keys. The *credentials* are the client secrets, of which a rotation needs
two.

    client.py         the calls: each pairs a builder and a parser of `oauth/`
    credentials.py    which client secret is used now, and when the other one is tried
    documents.py      metadata and keys, cached
    http.py           one request and one response, bounded in time and size; the one file that imports httpx2

Three steps lead to the network: client -> credentials -> http. Nothing here knows sessions, routes or the browser.
"""
