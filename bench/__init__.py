"""The benchmark: who forwards an API call with a session for how much CPU. Run it with `python -m bench` (Linux, two cores).

- The proxy under test is one worker on core 0. Everything else (browser, provider, Redis, upstream) is on core 1.
- Every variant has a real session, from a real sign-in at an OpenID provider on loopback (`sign_in.py`).
- Nothing is timed before `check.py` has seen the right bearer and the right bytes at the upstream, and while it is timed
  the upstream refuses wrong bearers and counts: a variant that skips its work fails the run instead of winning it.
- Rounds are interleaved (A B C A B C ...), figures are medians over the rounds.
- A peer that is not installed is reported and left out. No figure is ever made up.
- All processes are ours, on free loopback ports, with their files in one temporary directory; they end with us.

`world.py` what stands around the proxy; `start.py` starts it all; `variants.py` the proxies; `revision.py` the older gateway of
`--against`; `scenarios.py` what is asked of them; `wrk.py`, `paced.py`, `streams.py` and `websocket.py` the kinds of load; `cost.py`
what a process used; `callgrind.py` and `instructions.py` what it executed; `report.py`, `old_and_new.py` and `goals.py` the tables.
"""
