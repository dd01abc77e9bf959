"""Lua scripts, which the server runs in one step. Each uses one key only, so that it runs on a Cluster too.

A session is a hash {version, record, absolute}: `record` is sealed, `absolute` is its end in Unix milliseconds.
Durations are in milliseconds, computed by us from `now`; the server's clock only counts them down. Redis >=
6.2, Valkey >= 7.2.

Every script may be sent twice and has the effect of once (needed if a connection died before the answer). CREATE and
REPLACE compare the sealed record, which holds a random nonce, to recognise their own first try. DELETE sent twice may
answer "there was none".

A planted value of another type reads as "no session", and can be deleted.
"""

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Script:
    """Lua source and the name under which the server remembers it."""

    source: str = field(repr=False)
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()  # EVALSHA's own naming
        object.__setattr__(self, "sha", digest)


CREATE = Script("""\
-- ARGV: record, absolute, ttl
if redis.call('EXISTS', KEYS[1]) == 1 then
  return redis.call('HGET', KEYS[1], 'record') == ARGV[1] and 1 or 0
end
redis.call('HSET', KEYS[1], 'version', 1, 'record', ARGV[1], 'absolute', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
""")

READ = Script("""\
-- ARGV: now, idle timeout (0: do not touch). A server that cannot save to its disk (MISCONF) refuses to move the deadline; the session
-- is read all the same. Any other refusal is an error: READONLY sends us to the new primary, a primary without replicas (NOREPLICAS)
-- may be cut off from its successor, where the session has ended, and without a right (ACL) nothing is known about the session.
local found = redis.pcall('HMGET', KEYS[1], 'version', 'record', 'absolute')
if found.err and not string.find(found.err, 'WRONGTYPE', 1, true) then return found end
if found.err or not (found[1] and found[2] and tonumber(found[3])) then return nil end
local left = found[3] - ARGV[1]
if left <= 0 then return nil end
local ttl
if ARGV[2] == '0' then
  ttl = math.min(redis.call('PTTL', KEYS[1]), left)
else
  ttl = math.min(tonumber(ARGV[2]), left)
  local moved = redis.pcall('PEXPIRE', KEYS[1], ttl)
  if type(moved) == 'table' and moved.err then
    if not string.find(moved.err, 'MISCONF', 1, true) then return moved end
    ttl = math.min(redis.call('PTTL', KEYS[1]), left)
  end
end
local time = redis.pcall('TIME')
return {found[1], found[2], ttl, time[1] or '', time[2] or ''}
""")

REPLACE = Script("""\
-- ARGV: now, version that was read, next version, record, channel, message
local found = redis.call('HMGET', KEYS[1], 'version', 'record', 'absolute')
if found[2] == ARGV[4] then return 1 end
if found[1] ~= ARGV[2] or found[3] - ARGV[1] <= 0 then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[3], 'record', ARGV[4])
redis.call('PUBLISH', ARGV[5], ARGV[6])
return 1
""")

DELETE = Script("""\
-- ARGV: channel, message. The session has ended also if the message may not be published (ACL).
local found = redis.pcall('HMGET', KEYS[1], 'version', 'record')
if redis.call('DEL', KEYS[1]) == 0 then return nil end
redis.pcall('PUBLISH', ARGV[1], ARGV[2])
return found.err and {} or found
""")

CLOCK = Script("""\
local time = redis.pcall('TIME')
return {time[1] or '', time[2] or ''}
""")

INDEX = Script("""\
-- A set of session keys by absolute end, that lives as long as the last of them; one clock ahead of the others must
-- not cut it short. ARGV: now, absolute, session key
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('PEXPIRE', KEYS[1], math.max(last[2] - ARGV[1], redis.call('PTTL', KEYS[1]), 1))
return 1
""")

UNINDEX = Script("""\
-- ARGV: session key. What is left ends with the last survivor: sooner by what the two ends differ.
local before = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
local after = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if after[2] and after[2] ~= before[2] then
  redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]) - (before[2] - after[2]), 1))
end
return 1
""")

# A lease is a hash {holder, until} that also holds the marks of refresh tokens: one field for each provider,
# "hash|by|since|free at". Instants are the server's own, in Unix milliseconds: processes whose clocks differ agree on them.
_NOW = """\
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

TAKE_LEASE = Script(
    _NOW
    + """\
-- ARGV: holder, lifetime
local found = redis.call('HMGET', KEYS[1], 'holder', 'until')
if found[1] and found[1] ~= ARGV[1] and tonumber(found[2]) > now then return 0 end
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'until', string.format('%.0f', now + ARGV[2]))
redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[2])))
return 1
"""
)

BEGIN_RENEWAL = Script(
    _NOW
    + """\
-- ARGV: holder, lifetime, provider's field, hash of the refresh token, lifetime of the mark, how long it binds (0: until it ends)
local found = redis.call('HMGET', KEYS[1], 'holder', 'until', ARGV[3])
if found[1] and found[1] ~= ARGV[1] and tonumber(found[2]) > now then return 0 end
if found[3] then
  local hash, by, since, free_at = string.match(found[3], '^(%x+)|([^|]*)|(%d+)|(%d+)$')
  if hash == ARGV[4] and by ~= ARGV[1] and (free_at == '0' or tonumber(free_at) > now) then
    return {by, now - tonumber(since)}
  end
end
local free_at = ARGV[6] == '0' and 0 or now + ARGV[6]
local mark = string.format('%s|%s|%.0f|%.0f', ARGV[4], ARGV[1], now, free_at)
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'until', string.format('%.0f', now + ARGV[2]), ARGV[3], mark)
redis.call('PEXPIRE', KEYS[1], math.max(redis.call('PTTL', KEYS[1]), tonumber(ARGV[2]), tonumber(ARGV[5])))
return 1
"""
)

END_RENEWAL = Script(
    _NOW
    + """\
-- ARGV: holder, provider's field, what becomes of our mark: 'keep', 'drop', or after how many milliseconds it binds no more
local found = redis.call('HMGET', KEYS[1], 'holder', ARGV[2])
if found[2] and ARGV[3] ~= 'keep' then
  local hash, by, since = string.match(found[2], '^(%x+)|([^|]*)|(%d+)|')
  if by == ARGV[1] and ARGV[3] == 'drop' then
    redis.call('HDEL', KEYS[1], ARGV[2])
  elseif by == ARGV[1] then
    redis.call('HSET', KEYS[1], ARGV[2], string.format('%s|%s|%s|%.0f', hash, by, since, now + ARGV[3]))
  end
end
if found[1] == ARGV[1] then redis.call('HDEL', KEYS[1], 'holder', 'until') end
return 1
"""
)

NOTE_USE = Script(
    _NOW
    + """\
-- A set of processes by the instant of their last use. ARGV: process, how long ago, how long a use is kept
redis.call('ZADD', KEYS[1], 'GT', string.format('%.0f', now - ARGV[2]), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[3]))
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
"""
)

DROP_LEASE = Script("""\
-- ARGV: holder
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
return redis.call('HDEL', KEYS[1], 'holder', 'until')
""")
