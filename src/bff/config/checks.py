"""What needs more than one key to judge. Each check looks at sound keys only, so that one mistake is reported once."""

from bff.config.model import Config
from bff.config.origin_checks import check_origins
from bff.config.problems import Findings
from bff.config.provider_checks import check_providers
from bff.config.route_checks import check_routes
from bff.config.tls_checks import check_client_certificates, check_tls
from bff.config.values.addresses import is_private

_LONGEST_LOGIN_SECONDS = 3600.0
_LONGEST_TARGET = 65535  # bytes; the HTTP parser counts in 16 bits and answers a longer one with 400


def check(config: Config, findings: Findings, *, now: float) -> None:
    """Report everything in `config` that does not fit together. `now`: Unix seconds."""
    _check_addresses(config, findings)
    _check_forward_auth(config, findings)
    check_origins(config, findings)
    _check_limits(config, findings)
    _check_session(config, findings)
    check_tls(config, findings, now=now)
    check_client_certificates(config, findings, now=now)
    check_providers(config, findings)
    check_routes(config, findings)


def _check_addresses(config: Config, findings: Findings) -> None:
    if config.management is None or not findings.sound(("listen",), ("management",)):
        return
    if config.management.port == config.listen.port != 0:
        key = "management" if "management" in config.model_fields_set else "listen"
        findings.report((key,), "listen and management share a port: the management endpoints are never public")


def _check_forward_auth(config: Config, findings: Findings) -> None:
    at = ("forward_auth", "listen")
    if config.forward_auth is None or not findings.sound(("listen",), ("management",), at):
        return
    own = config.forward_auth.listen
    others = {"listen": config.listen, "management": config.management}
    for key, address in others.items():
        if address is not None and address.port == own.port != 0:
            findings.report(at, f"shares its port with {key}: its answers hold tokens, and nothing else is to be there")
    if not is_private(own.host):
        findings.warn(at, "can be reached from outside: its answers hold tokens, so only the proxy may reach it")


def _check_limits(config: Config, findings: Findings) -> None:
    if config.limits.max_target > _LONGEST_TARGET and findings.sound(("limits", "max_target")):
        findings.report(
            ("limits", "max_target"), f"is more than {_LONGEST_TARGET}B, the longest target that can be read"
        )


def _check_session(config: Config, findings: Findings) -> None:
    session = config.session
    at = ("session",)
    if not session.keys and findings.sound((*at, "store"), (*at, "keys")):
        findings.report((*at, "keys"), "is missing: a store that outlives the process needs session keys that do")
    if session.login_timeout > _LONGEST_LOGIN_SECONDS and findings.sound((*at, "login_timeout")):
        findings.report((*at, "login_timeout"), "is more than 1h: a sign-in that is left open for longer begins again")
    timeouts_known = findings.sound((*at, "idle_timeout"), (*at, "absolute_timeout"))
    if timeouts_known and session.idle_timeout > session.absolute_timeout:
        findings.report((*at, "idle_timeout"), "is longer than absolute_timeout, which ends the session first")
