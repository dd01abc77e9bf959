"""A working world on loopback: the demo provider, a sample API, a sample page and the gateway between them.

Nouns: the *demo provider* is a real OpenID Provider that signs in alice and bob without a password, and therefore
answers loopback only; the *sample API* is an upstream that really verifies its bearer tokens; the *page* shows a person
what a gateway does; a *world* is all of them running in one process; to *eject* is to write them down for the user to
edit.

The same apps are the tests' provider and upstream, so nothing here is a stub. Only `cli/` may import this package.
"""
