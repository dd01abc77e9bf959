"""A provider that knows clients by their keys: an assertion that one of them signed stands for the client's secret (RFC 7523).

world.corp.accepted_keys = [old]          # until the test says otherwise
"""

from collections.abc import Sequence
from dataclasses import replace

from joserfc.errors import JoseError
from joserfc.jwk import Key
from joserfc.jws import deserialize_compact

from bff.demo.grants import Client
from bff.demo.parameters import Call

ALGORITHMS = ["ES256", "RS256", "PS256"]


def authenticated(call: Call, *, accepted: Sequence[Key], clients: dict[str, Client]) -> Call | None:
    """The call with the secret of the client whose assertion it brings; None: no accepted key made that assertion."""
    assertion = dict(call.form).get("client_assertion")
    if assertion is None:
        return call
    if not any(_signed_by(key, assertion) for key in accepted):
        return None
    form = [pair for pair in call.form if not pair[0].startswith("client_assertion")]
    client = clients[dict(form)["client_id"]]
    return replace(call, form=(*form, ("client_secret", client.secret)))


def _signed_by(key: Key, assertion: str) -> bool:
    try:
        deserialize_compact(assertion, key, algorithms=ALGORITHMS)
    except JoseError:
        return False
    return True
