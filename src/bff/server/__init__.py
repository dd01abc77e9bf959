"""The browser's side of HTTP/1.1: bytes of a connection become requests, and answers become bytes.

Nouns: a *message* is one request as the reader reports it: its head, then its content; an *exchange* is one message and its answer,
run by a task; the *lane* forwards a message by callbacks, without a task, when nothing has to be waited for; a *refusal* is the last
answer of a connection whose next message cannot be read.

    request_reader   bytes in, messages and refusals out (pure)       chunked   the chunked coding (pure)
    judged_head      what one whole head means (pure); guessed_head: what can be said of one that was refused before
    served           what the server knows of its application
    arrival          a connection until its TLS handshake is over; listener_tls: the certificate that it is shown
    connection       one connection of a browser: order, deadlines, close
    deadline         the one timer of a connection
    exchange         one message answered by an ASGI application
    lane             one message forwarded at once; lane_call: from there to the end of its answer
    output           what is written, and how long a browser may leave it unread
    websocket        a WebSocket handshake, answered                     tunnel    the two connections after it
    process          sockets, workers, memory: the one way to start a server
    reloading        another configuration without a restart         leaving   going out of use before stopping
    descriptors      file descriptors run out

Imports `web/` and what lies below it. `uvicorn.Server` keeps processes, signals, lifespan and sockets; no base class of uvicorn's.
"""
