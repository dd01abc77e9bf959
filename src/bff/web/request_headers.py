"""The fields that the operator has for a route's upstream (`request_headers.set`), with what they say of the user. Pure.

What the browser sends under these names was dropped before (`proxy/field_rules.py`). Only the sign-in at the route's own provider
counts. A field that names what the user does not have is left out.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote

from bff.config.model import RequestHeadersConfig
from bff.config.values.header_templates import HeaderTemplate, Placeholder
from bff.request_head import NO_FIELDS, Field, FieldBlock, field_block
from bff.sessions.model import Grant
from bff.web.claims import claim, text_of

_VISIBLE = re.compile(r"[!-~]+( [!-~]+)*")  # RFC 9110 section 5.5, with single spaces between
_IN_LIST = re.compile(r"[!-$&-+\--~]+")  # also without the comma that separates, and without `%`
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in "%,")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHeaders:
    """`fixed` are the same for every request; `of_user` are worked out for each."""

    fixed: FieldBlock
    of_user: tuple[tuple[bytes, HeaderTemplate], ...]

    def fields(self, grant: Grant | None) -> FieldBlock:
        """The fields of one request; `grant` is the user's sign-in at the route's provider."""
        if not self.of_user or grant is None:
            return self.fixed
        said = ((name, _rendered(template, grant)) for name, template in self.of_user)
        return field_block([*self.fixed.fields, *((name, value) for name, value in said if value is not None)])


def request_headers(config: RequestHeadersConfig) -> RequestHeaders:
    """The fields that the configuration describes."""
    fixed: list[Field] = []
    of_user: list[tuple[bytes, HeaderTemplate]] = []
    for text, template in config.set.items():
        name = text.lower().encode("ascii")
        if template.names_user:
            of_user.append((name, template))
        else:
            fixed.append((name, template.text.encode("ascii")))
    return RequestHeaders(fixed=field_block(fixed) if fixed else NO_FIELDS, of_user=tuple(of_user))


def _rendered(template: HeaderTemplate, grant: Grant) -> bytes | None:
    texts = [part if isinstance(part, str) else _value(part, grant) for part in template.parts]
    return None if None in texts else "".join(text for text in texts if text is not None).encode("ascii")


def _value(part: Placeholder, grant: Grant) -> str | None:
    """Visible ASCII: another value is percent-encoded UTF-8. In a list the comma stands between values, so it is encoded in them."""
    known: dict[str, object] = {"subject": grant.subject, "issuer": grant.issuer, "provider": grant.provider}
    value = known[part.word] if part.claim is None else claim(grant.claims, part.claim)
    if isinstance(value, list):
        elements = [text for text in map(text_of, value) if text]
        return ",".join(text if _IN_LIST.fullmatch(text) else quote(text, safe=_SAFE) for text in elements) or None
    text = text_of(value)
    if not text:
        return None
    return text if _VISIBLE.fullmatch(text) else quote(text, safe="")
