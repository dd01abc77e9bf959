"""The OpenID Foundation's suite as a provider: one running test for each alias, strict about every request that it gets.

    suite = Suite(url=url)
    test = suite.start(module, config=json_of_the_tester, clock=clock)   # a click on "start"
    ... a browser signs in ...
    test.result()                                                        # passed, skipped, waiting, or the failures

It answers below `/test/a/ALIAS/` (and `/test-mtls/a/ALIAS/` behind `suite_tls.py`), judges by `suite_conditions.py`, and departs from
the rules as `suite_module.py` says. Read off the suite's own sources (`net.openid.conformance.openid.client` and `fapi2spfinal`,
November 2026).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from support import suite_conditions as conditions
from support.suite_judge import Judge
from support.suite_module import METADATA, Module
from support.suite_running import RunningTest

OAUTH_METADATA = "/.well-known/oauth-authorization-server"  # RFC 8414 section 3.1: before the issuer's path


@dataclass(kw_only=True, eq=False)
class Suite:
    """The server; an alias stands for the test that was started with it last."""

    url: str
    mtls_url: str | None = None  # of the listener for clients with a certificate
    tests: dict[str, RunningTest] = field(default_factory=dict)

    def start(
        self,
        module: Module,
        *,
        config: dict[str, Any],
        clock: Callable[[], float],
        client_auth: str = "client_secret_basic",
        request_type: str = "plain_http_request",
        response_mode: str = "query",
        sender_constrain: str = "dpop",
        edition: str = "final",
    ) -> RunningTest:
        """Run a module; it takes the place of the one before at its alias. `edition`: of FAPI 2.0, `final` or `id2`."""
        server_jwks = config.get("server", {}).get("jwks", {}).get("keys", [None])
        judge = Judge(
            base=f"{self.url}/test/a/{config['alias']}/",
            client=config["client"],
            clock=clock,
            client_auth=client_auth,
            request_type=request_type,
            fapi="server" in config,
            mtls=f"{self.mtls_url or self.url}/test-mtls/a/{config['alias']}/",
            sender_constrain=sender_constrain,
            edition=edition,
        )
        judge.note(conditions.public_keys(config["client"].get("jwks", {"keys": []})))
        test = RunningTest(module=module, judge=judge, server_jwk=server_jwks[0], response_mode=response_mode)
        self.tests[config["alias"]] = test
        return test

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        by_rfc8414 = path.startswith(OAUTH_METADATA)
        if by_rfc8414:
            path = f"{path.removeprefix(OAUTH_METADATA).rstrip('/')}/{METADATA}"
        by_mtls = path.startswith("/test-mtls/")
        alias, _, name = path.removeprefix("/test-mtls/a/" if by_mtls else "/test/a/").partition("/")
        test, request = self.tests.get(alias), Request({**scope, "scheme": self.url.partition(":")[0]}, receive)
        if test is not None and by_rfc8414:
            test.judge.found_by_rfc8414()
        answer = Response(status_code=404) if test is None else await test.answer(name, request, by_mtls=by_mtls)
        await answer(scope, receive, send)
