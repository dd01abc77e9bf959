"""A backend for frontend: the confidential OAuth client in front of a single-page app (RFC 10017, section 6.1).

Floors, from the ground up; imports go down only (`tests/test_architecture.py` holds us to it):

    errors, loopback       what can go wrong, and whose fault it is; which hosts are this machine
    config, oauth          what the operator said; the protocol as pure functions
    sessions, provider,
    proxy                  who is signed in; the line to a provider; the line to an upstream
    tokens                 keeping access tokens usable
    web                    the door: endpoints, guards, cookies, problems
    demo                   a working world on loopback
    cli                    `bff serve`, `bff check`, `bff demo`
"""

__version__ = "0.1.0"
