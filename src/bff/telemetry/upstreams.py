"""What becomes of upstreams, apart from single requests."""

import structlog

log = structlog.get_logger()


def credential_unusable(file: str) -> None:
    """A client certificate has changed and cannot be used; the old one is shown on."""
    log.warning("upstream.credential_unusable", reason=f"file {file}")
