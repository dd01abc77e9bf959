"""The composition root: puts the parts together and looks once at each request's path.

    management listener   -> health
    below `base_path`     -> the endpoints, by Starlette's router
    WebSocket handshakes  -> api.websocket
    everything else       -> api.api, straight from the scope

This is also where every error becomes an answer: what the recipes raise on purpose by the table in `problems.py`, the rest as 500.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from typing import Any

import httpx2
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from bff.config.model import Config
from bff.errors import BffError, BrowserGone, LoginRequired, MaxForwardsReached, MethodNotAllowed, NoRoute, PlainHttp
from bff.provider.client import Provider
from bff.proxy.forward import Forwarder, is_trusted
from bff.proxy.routes import RouteTable
from bff.sessions.local_copies import ChangeFanout, LocalCopies
from bff.sessions.opening import open_store
from bff.tokens.background import BackgroundTasks
from bff.tokens.client_credentials import ClientCredentials
from bff.tokens.refresh import Refresher
from bff.tokens.renewal import Renewal
from bff.web import facts, guards
from bff.web.access import route_access
from bff.web.access_log import with_access_log
from bff.web.api import BrokenTransfer, api, websocket
from bff.web.backchannel_logout import backchannel_logout
from bff.web.cookies import CookieSigner
from bff.web.fields import own_fields
from bff.web.files import AppFiles
from bff.web.health import management
from bff.web.login import callback, login
from bff.web.logout import logout
from bff.web.parts import Parts, site_of
from bff.web.problems import problem_of
from bff.web.responses import redirect
from bff.web.streams import OpenStreams
from bff.web.user import user

STOP_GRACE_SECONDS = 10.0

log = structlog.get_logger()

Endpoint = Callable[[Parts, Request], Awaitable[Response]]


def create_app(
    config: Config,
    *,
    clock: Callable[[], float] = time.time,
    provider_transport: httpx2.AsyncBaseTransport | None = None,
) -> "App":
    """The gateway as one ASGI application. `provider_transport` takes the place of the network towards providers, in tests."""
    return App(build_parts(config, clock=clock, provider_transport=provider_transport))


def build_parts(
    config: Config, *, clock: Callable[[], float], provider_transport: httpx2.AsyncBaseTransport | None = None
) -> Parts:
    """Everything that the endpoints work with; nothing is opened or asked yet."""
    site = site_of(config)
    store = open_store(config.session)
    tasks = BackgroundTasks()
    routes = RouteTable(config.routes, max_body=config.limits.max_body)
    providers = {
        name: Provider(
            name=name,
            config=settings,
            redirect_uri=site.url(f"{config.base_path}/callback/{name}"),
            clock=clock,
            transport=provider_transport,
        )
        for name, settings in config.providers.items()
    }
    renewal = Renewal(store=store, providers=providers, clock=clock)
    return Parts(
        config=config,
        site=site,
        clock=clock,
        store=store,
        copies=LocalCopies(max_age_seconds=config.session.local_copy),
        streams=OpenStreams(store=store, clock=clock),
        signer=CookieSigner(config.session.keys),
        providers=providers,
        refresher=Refresher(renewal=renewal, tasks=tasks, clock=clock),
        client_credentials=ClientCredentials(providers=providers, tasks=tasks, clock=clock),
        tasks=tasks,
        routes=routes,
        access={route.prefix: route_access(route.config) for route in routes.routes},
        forwarder=Forwarder(routes.routes, config=config),
        files={
            route.prefix: AppFiles(route.config.files, https=site.https)
            for route in routes.routes
            if route.config.files is not None
        },
        trusts=lru_cache(maxsize=4096)(lambda peer: is_trusted(peer, networks=config.trusted_proxies)),
    )


class App:
    """The ASGI application."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._base = parts.config.base_path.encode("ascii") + b"/"
        self._endpoints = _router(parts)
        address = parts.config.management
        self._management_ports = (
            {address.port, str(address.port)} if address else set()
        )  # granian's scopes say it as a text
        self._serve = with_access_log(self._http) if parts.config.log.access else self._http

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection's worth of ASGI."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._lifespan(receive, send)

    async def _http(self, scope: Any, receive: Any, send: Any) -> None:
        server = scope["server"]
        if server is not None and server[1] in self._management_ports:
            await management(self.parts.store, scope, send)
            return
        try:
            if scope["raw_path"].startswith(self._base):
                await self._endpoint(scope, receive, send)
            else:
                await api(self.parts, scope, receive, send)
        except BrowserGone:
            return  # nobody waits for an answer
        except BrokenTransfer as error:
            if not isinstance(error.__cause__, LoginRequired):  # `streams.ended` has told of that
                log.warning("upstream.broke_off", error=type(error.__cause__).__name__)
            raise  # so that the server closes the connection in the middle of the body
        except PlainHttp as error:
            await self._to_https(error, scope, receive, send)
        except MaxForwardsReached as reached:
            await self._answer_options(reached.allow, send)
        except Exception as error:  # noqa: BLE001 - the ASGI edge: whatever went wrong, the browser gets a problem
            await self._tell(error, send)

    async def _endpoint(self, scope: Any, receive: Any, send: Any) -> None:
        seen = facts.read(scope["headers"])
        guards.host(self.parts, seen, scope)
        guards.transport(self.parts, seen, scope)
        scope = {**scope, "path": scope["raw_path"].decode("ascii"), "app": self}  # one form of the path (invariant 2)
        try:
            await self._endpoints(scope, receive, send)
        except HTTPException as error:
            if error.status_code == 405:
                allow = (error.headers or {}).get("Allow", "")
                raise MethodNotAllowed("This endpoint does not take this method.", allow=allow) from error
            raise NoRoute("There is no such endpoint.") from error

    async def _to_https(self, error: PlainHttp, scope: Any, receive: Any, send: Any) -> None:
        if error.location is None:
            await self._tell(error, send)
        else:
            await redirect(error.location, https=True)(scope, receive, send)

    async def _answer_options(self, allow: str, send: Any) -> None:
        """An OPTIONS that is to go no further is ours to answer (RFC 9110 section 7.6.2)."""
        fields = [
            *own_fields("text/plain; charset=utf-8", https=self.parts.site.https),
            (b"allow", allow.encode("ascii")),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": [*fields, (b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def _tell(self, error: Exception, send: Any) -> None:
        problem = problem_of(error, base_path=self.parts.config.base_path, https=self.parts.site.https)
        await send({"type": "http.response.start", "status": problem.status, "headers": problem.fields})
        await send({"type": "http.response.body", "body": problem.body})

    async def _websocket(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await websocket(self.parts, scope, receive, send)
        except BffError as error:
            problem = problem_of(error, base_path=self.parts.config.base_path, https=self.parts.site.https)
            if "websocket.http.response" not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": 1008})
                return
            await send({"type": "websocket.http.response.start", "status": problem.status, "headers": problem.fields})
            await send({"type": "websocket.http.response.body", "body": problem.body})

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        async with running(self.parts):
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


@asynccontextmanager
async def running(parts: Parts) -> Any:
    """Open what needs a running loop, and close everything again; the store may come later (R-190)."""
    await parts.store.open(ChangeFanout([parts.copies, parts.streams]))
    looking = asyncio.create_task(parts.streams.look())
    log.info("gateway.started", public_url=parts.config.public_url.text)
    try:
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        await parts.tasks.close(grace_seconds=STOP_GRACE_SECONDS)
        await parts.forwarder.aclose()
        for provider in parts.providers.values():
            await provider.close()
        await parts.store.close()
        log.info("gateway.stopped")


def _router(parts: Parts) -> Router:
    base = parts.config.base_path

    def route(path: str, endpoint: Endpoint, method: str) -> Route:
        async def serve(request: Request) -> Response:
            return await endpoint(parts, request)

        return Route(f"{base}{path}", serve, methods=[method])

    return Router(
        [
            route("/login", login, "GET"),
            route("/callback/{provider}", callback, "GET"),
            route("/user", user, "GET"),
            route("/logout", logout, "POST"),
            route("/backchannel-logout/{provider}", backchannel_logout, "POST"),
        ],
        redirect_slashes=False,
    )
