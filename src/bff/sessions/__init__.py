"""Who is signed in: the records, how they are kept, and what may be done to them.

Nouns: a *session* is the record behind a session cookie; its *session id* is the secret in the cookie; its *key* is a
hash of the id and the only name that a store is given. A *grant* is what a session holds from one provider. A *login
transaction* is what we remember between an authorization request and its response. A *lease* is the right to change a
session's grants, held by one worker at a time. A *local copy* is a worker's own short-lived copy of a session.

    model.py, logins.py          sessions and grants; login transactions: values
    store.py                     the seam: what every store does; memory.py and redis/ implement it
    local_copies.py              copies of sessions in a worker
    records.py, sealing.py       a session as bytes; bytes encrypted and bound to a name
    opening.py, ending.py        from the configuration to a store; the sessions that a logout ends
    sign_outs.py, fates.py       marks: of sign-outs, for sign-ins under way; of what became of a session, for the log
    secret_notes.py              notes of when secrets were last used

Invariants kept here: writes are conditional (6), "not found" and "cannot ask" differ (7), a record is bound to its key
(9). No OAuth messages, no HTTP.
"""
