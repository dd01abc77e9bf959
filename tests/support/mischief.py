"""An upstream that answers with what the request is known by, over and over, and does everything else wrong at random."""

import random

from support.scripted_upstream import Conversation, Received, response


def own_content(bearer: bytes, target: bytes) -> bytes:
    """What belongs to this user's request, and to no other."""
    return b"<%b %b>" % (bearer, target)


def _wire(own: bytes, copies: int, chance: random.Random) -> bytes:
    content = own * copies
    head = b"HTTP/1.1 200 OK\r\nX-Owner: %b\r\n" % own
    interim = b"HTTP/1.1 103 Early Hints\r\nX-Owner: %b\r\n\r\n" % own if chance.random() < 0.1 else b""
    if chance.random() < 0.5:
        return interim + head + b"Content-Length: %d\r\n\r\n%b" % (len(content), content)
    pieces = [content[i : i + 700] for i in range(0, len(content), 700)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return interim + head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nX-Trailer: %b\r\n\r\n" % own


class Mischief:
    """The script: what it does is drawn anew for each request."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311  (to be repeatable is the point)

    async def __call__(self, it: Conversation) -> None:
        """Serves until it ends the connection."""
        chance = self._chance
        while True:
            early = chance.random() < 0.1  # an answer before the content, if there is any
            received = await (it.head() if early else it.request())
            if not await self._answer(it, received):
                return
            if early and received.values(b"transfer-encoding"):
                await it.gone()
                return
            if chance.random() < 0.03:  # gone while idle
                it.close()
                return

    async def _answer(self, it: Conversation, received: Received) -> bool:
        chance = self._chance
        own = own_content(received.values(b"authorization")[0].removeprefix(b"Bearer "), received.target)
        wire = _wire(own, chance.choice([0, 1, 3, 50, 2000]), chance)
        fate = chance.random()
        if fate < 0.05:
            await it.gone()  # never answers
        elif fate < 0.10:
            await it.send(wire[: chance.randrange(len(wire))])
            chance.choice([it.close, it.reset])()
        elif fate < 0.15:
            await it.send(wire + response(own))  # over-sends
        elif fate < 0.18:
            await it.send(b"garbage " + wire)
        elif fate < 0.40:
            cut = chance.randrange(len(wire))
            await it.send(wire[:cut], wire[cut:])
            return True
        else:
            await it.send(wire)
            return True
        return False
