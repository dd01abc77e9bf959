"""Keeping access tokens usable: fetched once, refreshed ahead of expiry, stored before use.

Nouns: a *refresh* renews one access token of one grant and belongs to the application, never to the request that noticed the need;
a *single flight* is the one refresh that all requests of a worker wait for; the *lease* makes it the only one among all workers.

Imports what lies below (config, oauth, sessions, provider), never `proxy/` or `web/`.
"""
