"""Forwarding: from a browser's request to a route's upstream and back. It knows no sessions and no OAuth: it is handed a bearer.

Where a request goes:
    routes.py               the route that a raw path belongs to, and what follows its prefix; pure
    upstream.py             one server, or a list of them: which one answers, and which one is asked next
    standing.py, health.py  whether a server takes requests: by how calls end (pure), and by asking its health page
    forward.py              the upstreams of a configuration; sends one request

What is sent, and what is passed back; all pure:
    rewrite.py              a browser's fields become the upstream's, by fields.py, field_rules.py and hops.py (where it came from)
    upstream_request.py     the request, ready to be written; destinations.py: the second target of COPY and MOVE
    upload.py               a request's content, held to what was announced
    reader.py               a response as its bytes come in; response_head.py: a head that comes whole
    response_rewrite.py     an upstream's fields become the browser's; locations.py: what it says of places

One exchange:
    pool.py, pools.py       the connections to one server, and all pools of a process
    places.py               how many exchanges each owner may have; pure
    dialing.py              connects, to the addresses of a name in the order of addresses.py; failures.py has words for why not
    connection.py           carries exchanges one by one
    response.py             a request on its way, and its response as it comes: its state, and the task that goes on with it
    browser.py              what the browser still sends, and whether it is there
    timeouts.py             patience with one that does not get on; pure
    probe.py                whether an upstream can be reached, for `bff check --online`

WebSockets:
    websocket_upstream.py   the upstream's part of a handshake; websocket_handshake.py judges its answer
    websocket_frames.py     the heads of frames that pass; closes.py: what each side gets at the end; both pure
    websocket.py            the long way, for other ASGI servers: one handshake, and messages both ways (websocket_messages.py)
"""
