"""What an operator can do about a request that was refused or not served: one sentence for each reason, logged as `remedy` (R-363)."""

_CREDENTIALS = (
    "compare client_id, client_secret and client_auth with what is registered at the provider;"
    " for signed assertions see assertion_audience"
)

REMEDIES = {
    # the kinds of problems
    "callback-refused": "docs/how-to/refusals.md says what each reason of a refused sign-in means, and what to do",
    "token-refused": "compare `found` and `configured`; docs/how-to/refusals.md says what each reason means",
    "csrf-refused": "calls must come from pages of public_url and carry X-CSRF: 1; for what cannot send it: csrf: origin",
    "no-route": "no route begins with this path: `bff routes` lists them, `bff explain` judges one request",
    "no_file": "the folder of this `files` route has no such file: build the app again, or correct the link",
    "no_endpoint": "there is no such endpoint below base_path: docs/reference/endpoints.md lists them",
    "no_websocket": "`websocket: true` on the route lets WebSockets pass",
    "only_asked": "the route has no upstream: a proxy asks about it at forward_auth.listen, and forwards it itself",
    "method-not-allowed": "the route's methods do not list it: `bff routes`",
    "misdirected-request": "have the proxy in front pass the Host field on, or add its address to trusted_proxies",
    "plain-http": "have the proxy in front redirect http to https, and pass the X-Forwarded-Proto of one before it on",
    "head-too-large": "limits.max_head; a browser with many cookies of this site can clear them",
    "target-too-long": "limits.max_target",
    "content-too-large": "the route's max_body",
    "loop-detected": "the route's upstream leads back to this gateway",
    "provider-unavailable": "`bff check --online` asks the provider; bff_token_call_seconds shows its calls",
    "provider-misbehaved": "`bff check --online` compares its metadata; docs/how-to/refusals.md lists the reasons",
    "store-unavailable": "see whether session.store answers: /readyz on the management listener, bff_store_seconds",
    # what a provider refuses, by its error code
    "invalid_client": _CREDENTIALS,
    "invalid_client_id": _CREDENTIALS,  # Slack
    "redirect_uri_mismatch": "register PUBLIC_URL/bff/callback/NAME at the provider, character for character",  # GitHub
    "unauthorized_client": "let the client use this grant type at the provider",
    "invalid_scope": "compare `scope` with what the provider lets this client ask for",
    "invalid_target": "compare `resource` and `audience` with the APIs that the provider knows",
    # why a provider did not answer
    "not_connected": "no connection to the provider: name, network, firewall, outbound proxy, or its certificate (ca_file)",
    "cut_off": "the connection to the provider broke: look for a proxy or firewall that ends connections",
    # why the store did not answer
    "store_loading": "the store reads its data back after a start: wait; fewer keys or a replica make it shorter",
    "store_script_runs": "a script holds the store up: SCRIPT KILL on the store, and look for what ran it",
    "store_credentials": "user or password in session.store is wrong now: correct it, or let the store take both for a while",
    "store_permissions": "the store's user lacks a right: docs/how-to/deploy.md has the ACL rule",
    "store_full": "maxmemory is reached under noeviction: give the store more memory; who is signed in is served meanwhile",
    "store_cannot_save": "the store cannot write its file (MISCONF): look at its disk",
    "store_read_only": "session.store leads to a replica: to the primary's name or Sentinels, and check that a failover has ended",
    "store_no_replicas": "the store has fewer replicas than min-replicas-to-write: start one, or lower it while one is being replaced",
    "store_primary_down": "session.store leads to a replica without a primary: wait for the failover, or promote one",
    "store_cluster_down": "slots of the Cluster have no node: CLUSTER INFO on the store",
    "store_no_primary": "no Sentinel names a primary: the service in session.store, SENTINEL MASTERS",
    "store_clients": "the store's maxclients is reached: raise it, or find who holds connections",
    "store_timeout": "the store is slow or away: /readyz, bff_store_seconds, SLOWLOG on the store",
    "store_connection": "no connection to session.store, or it broke: name, port, TLS, firewall, or the store was stopped",
    "secret-unavailable": "the file or variable that the configuration names must be there and readable",
    "upstream-busy": "the route's max_connections and max_waiting, or a faster API",
    "sign-in-loop": "the route asks for another sign-in than the user gets: `bff explain --page`",
    # why an upstream failed
    "name": "the name in the route's upstream is not found: check its spelling and this machine's resolver",
    "refused": "nothing listens there: start the API, or correct the port in the route's upstream",
    "certificate": "the API's certificate is not trusted, `what` says why: the route's ca_file or server_name, or a new certificate",
    "tls": "the API's port does not speak TLS as we do: http or https in the route's upstream",
    "unreachable": "the network does not lead there: firewall, routing, address",
    "connect": "the API's host takes no connection in time: firewall, or the route's timeouts.connect",
    "upload": "the API does not read what it is sent: it is busy or hangs; the route's timeouts.idle",
    "first_byte": "the API is slow to begin: the route's timeouts.first_byte",
    "idle": "the API stopped in the middle: the route's timeouts.idle",
    "lost": "the API closed the connection: it was stopped or restarted, it crashed, or it speaks TLS; its own log may say",
    "http": "the API's answer breaks a rule of HTTP, which `what` names",
}


def remedy_for(error: object, *, kind: str) -> str | None:
    """The sentence for the error's reason if there is one, else for the kind of problem."""
    return REMEDIES.get(reason_of(error) or "") or REMEDIES.get(kind)


def reason_of(error: object) -> str | None:
    """The stable word that an error carries: its `reason`, or the code that a provider answered with (`error`)."""
    reason = getattr(error, "reason", None) or getattr(error, "error", None)
    return reason if isinstance(reason, str) else None
