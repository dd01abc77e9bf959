"""One call in the lane, from its head to the end of its answer: events of the connection and of the response call it back.

At the first thing that would have to wait, or that is refused, it steps aside before a byte of an answer is written, and the recipe
goes on with what is there (`lane.py`).
"""

from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Protocol

from bff.clock import steady
from bff.errors import BffError, BrowserError, LoginRequired, UpstreamBusy
from bff.proxy.browser import Receive, Scope, Send
from bff.proxy.response import UpstreamResponse
from bff.proxy.response_rewrite import response_fields, response_lines
from bff.proxy.upstream_request import UpstreamRequest
from bff.request_id import NAME as REQUEST_ID
from bff.server.answer import Answer, whole_answer
from bff.server.exchange import AsgiApp, BrowserSide, Exchange
from bff.server.judged_head import Message
from bff.sessions.model import is_over
from bff.telemetry import requests as telemetry
from bff.telemetry import traces
from bff.telemetry.accounts import Account
from bff.tokens.sources import BroughtToken
from bff.web.access_log import account_of
from bff.web.api import BegunStream, Call, open_stream
from bff.web.app import App
from bff.web.gateway import Gateway
from bff.web.who import user_of

_IN_FLIGHT, _answered_at_once = telemetry.IN_FLIGHT, telemetry.answered_at_once  # looked up for each call


class LaneSide(BrowserSide, Protocol):
    """What the lane needs of a connection."""

    def step_aside(self, message: Message, app: AsgiApp, *, keep_alive: bool) -> Exchange:
        """`app` answers in a task."""
        ...


class LaneCall:
    """One call in the lane. The connection reports content, room and the browser's leaving; the response all else."""

    __slots__ = (
        "_answer",
        "_answered_at",
        "_app",
        "_asked",
        "_browser",
        "_call",
        "_gateway",
        "_in_stream",
        "_is_counted",
        "_is_told",
        "_message",
        "_request",
        "_response",
        "_status",
        "began",
        "is_over",
        "keep_alive",
        "span",
        "started",
    )

    def __init__(
        self,
        app: App,
        gateway: Gateway,
        browser: LaneSide,
        message: Message,
        call: Call,
        request: UpstreamRequest,
    ) -> None:
        self._app = app
        self._gateway = gateway  # the one that judged the request serves it to its end
        self._browser = browser
        self._message = message
        self._call = call
        self._request = request
        self._response: UpstreamResponse | None = None
        self._in_stream: AbstractContextManager[None] | None = None
        self._status = 0
        self._answer: Answer | None = None  # once there is one that does not leave whole
        self.started = False
        self.keep_alive = True
        self.span: Any = None  # one that is not sampled
        self.began = 0.0  # on the steady clock
        self._asked = ""  # the upstream's origin
        self._is_counted = False  # in the metrics
        self._answered_at = 0.0
        self._is_told = False  # in the log, by the connection
        self.is_over = False

    @property
    def message(self) -> Message:
        """What is forwarded."""
        return self._message

    def begin(self, content: tuple[bytes, bool] | None = None) -> bool:
        """Send the request if there is a connection for it, with the first content; False: nothing was sent."""
        route = self._call.admitted.match.route
        upstream = self._gateway.forwarder.upstreams[route.prefix]
        try:
            response = upstream.send_at_once(
                self._request,
                max_body=route.max_body,
                owner=self._call.owner,
                follower=self._news,
                begun=content,
            )
        except BrowserError:
            return False
        if response is None:
            return False
        self._response = response
        self._asked = response.pool.origin
        return True

    # --- for the connection ---

    def content(self, data: bytes, *, last: bool) -> None:
        """Content of the request: with its first piece a place at the upstream is taken."""
        response = self._response
        if response is None:
            token = self._call.token  # it was judged when the head came
            is_late = token is not None and is_over(token, now=self._gateway.process.clock())
            if is_late or not self.begin((data, last)):
                self.wait_in_task().content(data, last=last)
        elif not self.is_over:
            try:
                response.send_content(data, last=last)
            except BrowserError as error:
                response.fail(error)  # calls `_news`
        response = self._response  # none if it went to a task
        if response is not None and not last and response.upload_is_held:
            self._browser.hold_content(True)

    def wait_in_task(self) -> Exchange:
        """Nothing was sent, and it is not known how long that will take: the recipe waits."""
        self.is_over = True
        _IN_FLIGHT.number -= 1
        serve = partial(self._app.serve, self._gateway, span=self.span)
        return self._browser.step_aside(self._message, serve, keep_alive=self.keep_alive)

    def browser_left(self) -> None:
        """There is no browser to answer to."""
        self._end()

    def refused(self) -> None:
        """Its content cannot be read on, and the connection has answered and logged that."""
        self._is_told = True
        self._end()

    def has_room(self) -> None:
        """The browser has read."""
        if self._response is not None and self.started and not self.is_over:
            self._relay(self._response)

    def close_after_answer(self) -> None:
        """The connection ends with this answer."""
        self.keep_alive = False

    # --- for the response ---

    def _news(self) -> None:
        response = self._response
        if response is None or self.is_over:
            return
        if self._message.has_content and not response.upload_is_held:
            self._browser.hold_content(False)
        status = response.reader.status
        if self.started:
            self._relay(response)
        elif response.failure is not None or (status == 401 and self._call.token is not None):
            self._step_aside(response)
        elif status:
            self._start_answer(response, status)

    def _step_aside(self, response: UpstreamResponse) -> None:
        self.is_over = True
        _IN_FLIGHT.number -= 1
        self._response = None
        app, gateway, call, account = self._app, self._gateway, self._call, self._account()

        async def go_on(scope: Scope, receive: Receive, send: Send) -> None:
            await app.go_on(gateway, call, response, scope, receive, send, account=account)

        self._browser.step_aside(self._message, go_on, keep_alive=self.keep_alive)

    def _start_answer(self, response: UpstreamResponse, status: int) -> None:
        self._answered_at = steady()
        reader, message = response.reader, self._message
        if not reader.complete:
            response.head_is_in()
            if response.is_event_stream and not self._enter_stream(response):
                return
        self.started = True
        self._status = status
        private, rules = self._call.token is not None, self._call.admitted.match.route.response_rules
        if reader.head is not None and reader.complete and self.keep_alive and message.version == b"1.1":
            lines = response_lines(reader.head, private_default=private, rules=rules)
            self._browser.output.write_at_once(whole_answer(status, lines, message.head.request_id, reader.take()))
            _answered_at_once(self._call.admitted.policy.label, status).observe(self._answered_at - self.began)
            self._is_counted = True
            self._end()
            self._browser.answered()
            return
        telemetry.api_answered(route=self._call.admitted.policy.label, status=status)
        fields = response_fields(status, reader.fields, private_default=private, rules=rules)
        fields.append((REQUEST_ID, message.head.request_id))
        answer = self._answer = Answer(version=message.version, method=message.head.method, keep_alive=self.keep_alive)
        pieces = [answer.start(status, fields), *answer.content(response.take_content())]
        if reader.complete:
            pieces += answer.end()
            self._browser.output.write_at_once(b"".join(pieces))
            self._finish()
        else:
            self._browser.output.write_at_once(b"".join(pieces))

    def _enter_stream(self, response: UpstreamResponse) -> bool:
        """An event stream has a place of its own, and ends when its session does; False: the recipe refuses it."""
        try:
            response.become_stream()
        except UpstreamBusy:
            self._step_aside(response)
            return False
        self._end_with_session(response)
        return True

    def _end_with_session(self, response: UpstreamResponse) -> None:
        ended = LoginRequired("The session has ended.", provider=self._call.policy.provider or "")
        self._in_stream = open_stream(self._gateway, self._call, end=lambda: response.fail(ended))
        self._in_stream.__enter__()

    def _relay(self, response: UpstreamResponse) -> None:
        """Content as it comes, no faster than the browser reads it; what came before a failure is delivered before it."""
        answer = self._answer
        if self._browser.write_paused or answer is None:
            return
        for piece in answer.content(response.take_content()):
            self._browser.output.write(piece)
        if response.reader.complete:
            for piece in answer.end():
                self._browser.output.write(piece)
            self._finish()
        elif response.failure is not None:
            self._break_off(response.failure)

    def _break_off(self, failure: BffError) -> None:
        if not isinstance(failure, LoginRequired):  # logged as `streams.ended`
            telemetry.upstream_broke_off(failure, self._message.head, route=self._call.policy.label)
        self._end()
        self._browser.break_off(reset=self._message.version == b"1.0")

    def _finish(self) -> None:
        self._end()
        self._browser.answered()

    def _end(self) -> None:
        if self.is_over:
            return
        self.is_over = True
        response, self._response = self._response, None  # which refers back to us: a cycle would wait for the collector
        if response is not None:
            response.discard()
        if self._in_stream is not None:
            self._in_stream.__exit__(None, None, None)
        _IN_FLIGHT.number -= 1
        if not self._is_counted or self._gateway.logs_access:
            self._tell(steady() - self.began)

    def _tell(self, seconds: float) -> None:
        """Count the call that is over, and write its line where the operator wants one for each request."""
        if self.started and not self._is_counted:
            telemetry.lane_over(
                route=self._call.admitted.policy.label,
                status=self._status,
                seconds=seconds,
                upstream_seconds=self._answered_at - self.began,
            )
        if self._gateway.logs_access and not self._is_told:
            telemetry.request_told(self._account(), status=self._status, seconds=round(seconds, 6))

    def _account(self) -> Account:
        call, gateway = self._call, self._gateway
        account = account_of(gateway, call.head, began=self.began)
        account.span, account.trace = self.span, traces.trace_id_of(self.span)
        account.route = call.policy.label
        account.upstream = self._asked or gateway.forwarder.upstreams[call.admitted.match.route.prefix].origin
        account.upstream_began = self.began
        if self._answered_at:
            account.upstream_seconds = self._answered_at - self.began
        if call.live is not None:
            account.session, account.user = call.live.session.key[:8], user_of(gateway, call.live)
        elif call.policy.reads_session and not isinstance(call.source, BroughtToken):
            account.why = "no_cookie"
        return account


class FollowedStream(LaneCall):
    """An event stream that the recipe has begun, from then on: an idle one costs no task (measured: 8 of 18 KiB)."""

    __slots__ = ("_account_begun",)

    def __init__(self, app: App, exchange: Exchange, begun: BegunStream, browser: LaneSide) -> None:
        super().__init__(app, begun.gateway, browser, exchange.message, begun.call, begun.response.request)
        self._account_begun = begun.account
        self._response = begun.response
        self._answer = exchange.answer
        self._status = begun.response.status
        self.started = True
        self.keep_alive = exchange.keep_alive
        self.began = begun.account.began

    def go_on(self, response: UpstreamResponse) -> None:
        """Pass on what has come since, and what comes."""
        self._end_with_session(response)
        response.attach_follower(self._news)
        self._news()

    def _tell(self, seconds: float) -> None:
        """The recipe has counted what it did."""
        if not self._is_told:
            telemetry.request_over(self._account_begun, status=self._status)
