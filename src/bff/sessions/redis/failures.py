"""Why the store did not answer, in one word for the operator: `reason` of `StoreUnavailable`.

A server's refusal begins with a code (https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors). redis-py makes
classes of some codes and takes the code off; the others are read here.
"""

from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    ClusterError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

TAKES_NO_WRITES = (ReadOnlyError, MasterDownError)  # a replica: the primary is somewhere else now

_BY_CLASS: tuple[tuple[type[Exception], str], ...] = (  # a subclass stands before its base
    (BusyLoadingError, "store_loading"),
    (AuthenticationError, "store_credentials"),
    (AuthenticationWrongNumberOfArgsError, "store_credentials"),
    (AuthorizationError, "store_permissions"),
    (NoPermissionError, "store_permissions"),
    (OutOfMemoryError, "store_full"),
    (ReadOnlyError, "store_read_only"),
    (MasterDownError, "store_primary_down"),
    (ClusterDownError, "store_cluster_down"),
    (ClusterError, "store_cluster_down"),
    (RedisClusterException, "store_cluster_down"),
    (MasterNotFoundError, "store_no_primary"),
    (RedisTimeoutError, "store_timeout"),
    (TimeoutError, "store_timeout"),
)
_BY_CODE = {"BUSY": "store_script_runs", "MISCONF": "store_cannot_save", "NOREPLICAS": "store_no_replicas"}
# NOPERM in one: of Valkey, of Redis; the code is ERR
_NO_PERMISSION = ("ACL failure in script", "The user executing the script")
_TOO_MANY = "max number of clients reached"  # with the code ERR


def reason_of(error: BaseException) -> str:
    """The word for what redis-py or the network raised; for a lost connection that for why it was given up, if that is known."""
    for kind, reason in _BY_CLASS:
        if isinstance(error, kind):
            return reason
    text = str(error)
    if _TOO_MANY in text:
        return "store_clients"
    if isinstance(error, ResponseError):
        refused = "store_permissions" if any(words in text for words in _NO_PERMISSION) else "store_refused"
        return _BY_CODE.get(text.partition(" ")[0], refused)
    if error.__cause__ is not None:
        return reason_of(error.__cause__)
    return "store_connection" if isinstance(error, RedisConnectionError | OSError) else "store_unavailable"
