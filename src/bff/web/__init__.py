"""The gateway: what browsers may ask for, which requests pass, and what is answered.

`app.py` puts the parts together. Each endpoint is a recipe in a file of its own, to be read top to bottom: `login`, `user`, `logout`,
`backchannel_logout`, `api` (everything that is forwarded), `files`, `health`. What they share: `guards` (may this request pass?),
`cookies`, `problems` (every error and its status), `fields` of our own answers.

Nouns: a *guard* refuses by raising; a *problem* is an error body (RFC 9457); the *bounce page* repeats a navigation from our own
site, because a Strict cookie is withheld from one that began elsewhere.
"""
