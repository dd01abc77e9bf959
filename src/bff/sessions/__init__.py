"""Who is signed in: the records, how they are kept, and what may be done to them.

Nouns: a *session* is the record behind a session cookie; its *session id* is the secret in the cookie; its *key* is a
hash of the id and the only name the store ever sees. A *grant* is what a session holds from one provider. A *login
transaction* is what we remember between an authorization request and its response. A *lease* is the right to change a
session's grants, held by one worker at a time. A *local copy* is a worker's own short-lived view of a session.

Invariants kept here: writes are conditional (6), "not found" and "cannot ask" differ (7), a record is bound to its key
(9). No OAuth messages, no HTTP.
"""
