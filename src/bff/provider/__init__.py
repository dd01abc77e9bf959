"""Calls to a provider: the I/O round the pure functions of `oauth/`.

Nouns: a *provider* is one authorization server, with us as its confidential client. A *document* is what a provider
publishes about itself: its metadata and its keys. The *credentials* are what proves that we are the client: secrets, keys, an
assertion or a certificate. A rotation needs two of a kind. A call is *proved* if it holds a DPoP proof.

    providers.py                 all providers of a process
    client.py                    the calls: each pairs a builder and a parser of `oauth/`
    identity.py                  who it is: JWTs by the provider's keys, and UserInfo
    authorization_requests.py    how an authorization request reaches the provider: signed, pushed, or in the browser's URL
    calls.py                     a call that authenticates us: built, sent and parsed, with the nonce that the provider demands
    credentials.py               which credential is used now, and when the other one is tried
    client_certificate.py        the certificate that we show in TLS
    documents.py                 metadata and keys, cached
    features.py                  what the configuration relies on and the metadata does not offer
    public_keys.py               what we publish of our keys
    http.py                      one request and one response, bounded in time and size
    no_answer.py, connecting.py  why a call got no answer, and whether what it carried may be spent
    places.py, circuit.py        which calls are made at a time, and how many while the provider is in trouble
    clock_skew.py                how far the provider's clock is from ours

Four steps lead to the network: client -> calls -> credentials -> http. Only `http.py` and `no_answer.py` import httpx2. Nothing here
knows sessions, routes or the browser.
"""
