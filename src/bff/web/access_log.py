"""The account of each request that the recipe serves (`telemetry/accounts.py`): begun with it, written when it is over."""

from collections.abc import Awaitable, Callable

from bff.proxy.browser import Message, Receive, Scope, Send
from bff.proxy.hops import browser_address
from bff.request_head import RequestHead
from bff.telemetry import requests as telemetry
from bff.telemetry import traces
from bff.telemetry.accounts import Account, begin, new_account
from bff.web.gateway import Gateway

Serving = Callable[[RequestHead, Scope, Receive, Send], Awaitable[None]]


def account_of(gateway: Gateway, head: RequestHead, *, began: float | None = None) -> Account:
    """A new account of this request; `began`: when, on the steady clock, if that was earlier."""
    scheme = "https" if gateway.site.https else "http"
    return new_account(head, client=browser_address(head), scheme=scheme, whole=gateway.logs_access, began=began)


def accounted(serve: Serving, account: Account) -> Serving:
    """`serve`, with this account; it is written when the request is over."""

    async def logged(head: RequestHead, scope: Scope, receive: Receive, send: Send) -> None:
        begin(account)
        telemetry.IN_FLIGHT.number += 1
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            with traces.server_span(head, client=account.client, scheme=account.scheme, begun=account.span) as span:
                account.trace = traces.current_trace_id()
                try:
                    await serve(head, scope, receive, noting)
                finally:
                    traces.server_answered(span, route=account.route, status=status)
        finally:
            exchange = scope.get("extensions", {}).get("bff.exchange")
            if exchange is None or not exchange.is_followed:
                telemetry.IN_FLIGHT.number -= 1
            if exchange is None or not (exchange.is_followed or exchange.is_refused):  # else the server tells of it
                telemetry.request_over(account, status=status)

    return logged
