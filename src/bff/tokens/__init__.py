"""Keeping access tokens usable: fetched once, refreshed ahead of expiry, stored before use.

Nouns: a *refresh* renews one access token of one grant and belongs to the application, never to the request that noticed the need;
a *single flight* is the one refresh that all requests of a worker wait for; the *lease* makes it the only one among all workers.

For requests:
    keeping.py              what keeps tokens usable, for each provider
    sources.py              where the token of a request comes from; proofs.py: the fields that carry it
    refresh.py              a user's: who waits for a refresh, and who does not
    exchanged.py            those that a provider gave in exchange for users'
    client_credentials.py   the gateway's own

Behind them:
    flights.py              single flights; failures.py: how soon after a failure the next; background.py: whose tasks they are
    renewing.py             what the renewals of a process share; renewal.py: one, start to end
    lease.py, holder.py     the lease, and this process as the holder of leases
    writing.py, waits.py    changing a session on condition; waiting for another process's change
    kept_grants.py          renewed grants that are not yet written; recent_grants.py: that were a moment ago
    shared_circuits.py      what processes tell each other of a provider in trouble
    grants.py, sign_in.py   from token responses to grants, and to a new session; revoking.py: back to the provider

Imports what lies below (config, oauth, sessions, provider), never `proxy/` or `web/`.
"""
