"""Forwarding: from a browser's request to a route's upstream and back.

Knows no sessions and no OAuth: it is handed a bearer.

    Route            a path prefix and methods, and the upstream behind them               routes.py     pure
    UpstreamUrl      an origin and a base path; parsed in `config/values/urls.py`
    Match            the route that a request belongs to, and what follows its prefix      routes.py     pure
    verdict          what becomes of a field because of its name                           fields.py     pure
    UpstreamRequest  method, target, fields and framing, ready to be written               rewrite.py    pure
    hops             where a request came from, for the upstream                            hops.py       pure
    Upload           a request's content, framed as it is written                          writer.py     pure
    ResponseReader   one response, as its bytes come in                                    reader.py     pure
    Overtaken        in which order the addresses of a name are tried                       addresses.py  pure
    Dialer           connects to one upstream                                               dialing.py    I/O
    Connection       carries exchanges one by one                                          connection.py I/O
    Browser          what the browser still sends, and whether it is still there           browser.py    I/O
    Patience         with an exchange that does not get on                                 patience.py   pure
    UpstreamResponse one exchange, of which status and fields are in                       response.py   I/O
    UpstreamPool     the connections to one server                                         pool.py       I/O
    UpstreamPools    all pools of a process                                                pools.py      I/O
    Standing         whether a server takes requests                                       standing.py   pure
    HealthChecks     the tasks that ask servers whether they are well                      health.py     I/O
    Upstream         one server or a list of them: which one answers                       upstream.py   I/O
    Forwarder        all pools; sends one request and relays one response                  forward.py    I/O
    Offer            what a browser offers in a WebSocket handshake; judges the answer     websocket_handshake.py pure
    UpstreamHandshake the upstream's part of it                                           websocket_upstream.py  I/O
    FrameReader      the heads of frames that pass, and what was seen in them              websocket_frames.py    pure
    Ending           what each side of a WebSocket gets at its end                         closes.py     pure
    WebSocket        the long way, for other ASGI servers: one handshake and two pumps     websocket.py  I/O

May import `bff.errors` and `bff.config` only; `httptools` in `reader.py`, `websockets` in `websocket.py`.
"""
