"""One command or script at a time: sent, timed and counted, and every error of the library or the network turned into ours.

"Not found" and "cannot ask" differ (invariant 7): everything that redis-py or the network raises becomes `StoreUnavailable`, in this
file only.
"""

from collections.abc import AsyncIterator

from redis.exceptions import NoScriptError, ResponseError

from bff.clock import steady
from bff.errors import StoreUnavailable
from bff.sessions.redis import scripts
from bff.sessions.redis.failures import reason_of
from bff.sessions.redis.pipeline import Word
from bff.sessions.redis.server import REDIS_ERRORS, Server
from bff.telemetry.stores import store_asked
from bff.telemetry.traces import client_span

_OPERATIONS = {script: name.lower() for name, script in vars(scripts).items() if isinstance(script, scripts.Script)}


class Commands:
    """Commands to one server. Each may be sent twice, so each must do the same the second time.

    Raises, from every method: StoreUnavailable.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    async def run(self, script: scripts.Script, name: bytes, *arguments: Word) -> object:
        """Run a script; send its source if the server does not have it (restart, failover, another node of the Cluster)."""
        try:
            return await self._timed(_OPERATIONS[script], "EVALSHA", script.sha, 1, name, *arguments)
        except NoScriptError:
            return await self.execute("EVAL", script.source, 1, name, *arguments)
        except REDIS_ERRORS as error:
            raise _unavailable(error) from error

    async def execute(self, *command: Word) -> object:
        """Run a command."""
        try:
            return await self._timed(str(command[0]).lower(), *command)
        except REDIS_ERRORS as error:
            raise _unavailable(error) from error

    async def scan(self, pattern: bytes) -> AsyncIterator[list[bytes]]:
        """The names of a pattern, piece by piece."""
        try:
            async for found in self._server.scan(pattern):
                yield found
        except REDIS_ERRORS as error:
            raise _unavailable(error) from error

    async def _timed(self, operation: str, *command: Word) -> object:
        began, answered = steady(), False
        try:
            with client_span(operation, {"db.system.name": "redis", "db.operation.name": operation}):
                answer = await self._server.execute(*command, again=True)
            answered = True
        except ResponseError:  # an answer, too: the server is there
            answered = True
            raise
        finally:
            store_asked(operation=operation, seconds=steady() - began, answered=answered)
        return answer


def _unavailable(error: Exception) -> StoreUnavailable:
    reason = reason_of(error)
    return StoreUnavailable(f"the session store: {type(error).__name__} ({reason})", reason=reason)


def milliseconds(seconds: float) -> int:
    """As scripts and Redis count."""
    return int(seconds * 1000)
