"""What operators see of each outcome: one function for each, which writes the log event and counts it.

Code that decides an outcome calls its function and writes neither logs nor metrics by itself. Facts come as values: sessions by
their key, of which only the first eight characters are logged; errors as they are, of which only class and attributes are.

    requests.py      answers to browsers: served, refused, broken off
    sign_in.py       sign-in, sign-out, back-channel logout
    tokens.py        refreshes, the gateway's own tokens, calls to providers
    upstreams.py     upstreams, apart from single requests
    stores.py        calls to the session store
    accounts.py      what is known of one request, for its line in the log
    traces.py        spans of OpenTelemetry
    tallies.py       counts of the data path
    running.py       start and stop, the store's changes, open streams, file descriptors
    metrics.py       the definitions of all metrics
    remedies.py      what an operator can do, a sentence for each reason

`docs/events.md` and `docs/metrics.md` list what is written here; `tests/test_architecture.py` compares them with the code, and
holds all other packages to these functions.
"""
