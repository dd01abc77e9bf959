"""A backend for frontend: the confidential OAuth client in front of a single-page app (RFC 10017, section 6.1).

Layers, from the ground up; imports go down only (`tests/test_architecture.py` holds us to it):

    errors, clock, backoff,
    loopback               what can go wrong, and who is to blame; time; pauses between tries; which hosts are this machine
    config, oauth,
    telemetry              the configuration; the protocol as pure functions; log events and metrics, one function for each outcome
    sessions, provider,
    proxy                  who is signed in; calls to a provider; forwarding to an upstream
    tokens                 keeping access tokens usable
    web                    the endpoints, their guards, cookies, problems
    server                 the browser's side of HTTP/1.1
    demo                   a working world on loopback
    cli                    `bff serve`, `bff check`, `bff demo`
"""

__version__ = "0.1.0"
