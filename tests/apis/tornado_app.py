"""A Tornado server, whose WebSockets compare `Origin` with `Host` by default. `python tornado_app.py PORT`."""

import asyncio
import sys

from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler


class Echo(WebSocketHandler):
    """What comes goes back; check_origin is Tornado's own."""

    def on_message(self, message: str | bytes) -> None:
        """Send it back."""
        self.write_message(message)


class Etagged(RequestHandler):
    """Tornado adds an ETag by itself, and answers 304."""

    def get(self) -> None:
        """The same text each time."""
        self.write("the same")


async def main(port: int) -> None:
    """Serve until the process ends."""
    Application([("/ws", Echo), ("/same", Etagged)]).listen(port, "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
