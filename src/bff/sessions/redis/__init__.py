"""Sessions in Redis or Valkey, shared by every worker and kept over restarts.

Nouns: a *location* is the store's URL, parsed in `config/values/stores.py`. A *server* executes commands at a location:
one server, a primary behind Sentinel, or a Cluster. The *pipeline* is the one connection that all callers of a worker
share. A *script* is Lua that the server runs in one step. A *key* is the name of an entry in Redis. A *change* is a
message that a worker publishes together with a write.

    store.py       the `SessionStore`: records, leases, marks, uses of secrets
    indexes.py     the sessions of a user, or of a provider's `sid`
    commands.py    one command or script: timed, counted, its errors ours
    server.py      commands to one server, Sentinel or a Cluster
    pipeline.py    commands in order over one connection
    changes.py     the subscription to changes
    recent_ends.py what has ended, for a server that goes back
    failures.py    why the store did not answer, in one word
    shared_clock.py        the server's clock, by which all processes go
    scripts.py, keys.py    Lua, and names

Only this package imports redis-py and hiredis. It knows no cookies, no HTTP and no OAuth messages.
"""
