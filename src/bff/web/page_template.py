"""The one template of all pages: no third party, light and dark, from 320 px on; a policy that allows what is in it and nothing else.

What is put in is escaped here, so no caller can forget it. The style and the one script are allowed by their hashes
(https://www.w3.org/TR/CSP3/#match-element-to-source-list): a policy with `unsafe-inline` would allow what an attacker adds too.
"""

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from string import Template

from bff.request_head import Field

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title - $site</title>
$refresh<style>$style</style>
</head>
<body>
<main$keep>
<p class="site">$logo$site</p>
<h1>$title</h1>
$paragraphs<p class="links">$links</p>
$small</main>
$script</body>
</html>
""")
_STYLE = """
:root{color-scheme:light dark;--back:#f3f4f6;--card:#fff;--text:#1c2127;--soft:#59636e;--line:#d5dae0;--go:#0b5cad;--on:#fff}
@media(prefers-color-scheme:dark){
:root{--back:#101418;--card:#1a2027;--text:#e8ecf0;--soft:#a3aeb9;--line:#343d47;--go:#8cc2ff;--on:#0d1b2a}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;background:var(--back);color:var(--text);
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{width:100%;max-width:34rem;padding:clamp(1.25rem,5vw,2.5rem);background:var(--card);border:1px solid var(--line);
border-radius:.75rem;overflow-wrap:anywhere}
.site{display:flex;align-items:center;gap:.6rem;margin:0 0 1.5rem;color:var(--soft);font-weight:600}
.site img{height:2rem;max-width:10rem;object-fit:contain}
h1{margin:0 0 .75rem;font-size:clamp(1.35rem,5vw,1.7rem);line-height:1.25}
p{margin:0 0 .75rem}
.links{display:flex;flex-wrap:wrap;gap:.75rem;margin:1.5rem 0}
.links:last-child{margin-bottom:0}
.links a{padding:.6rem 1.1rem;border:1px solid var(--go);border-radius:.5rem;color:var(--go);font-weight:600;text-decoration:none}
.links a:first-child{background:var(--go);color:var(--on)}
.links a:hover{text-decoration:underline}
a:focus-visible{outline:3px solid var(--go);outline-offset:3px}
.small{margin:0;padding-top:.75rem;border-top:1px solid var(--line);color:var(--soft);font-size:.875rem}
.small+.small{border:0;padding-top:.25rem}
.small a{color:inherit}
code{font-family:ui-monospace,Menlo,Consolas,monospace}
"""
# A fragment never reaches a server. The first page of ours keeps it (`data-keep`), and the last one before the app puts it back
# . `#_=_` is what Facebook adds to the way back. `leave`: a page that leads to its own address, with a fragment, would only
# scroll.
_SCRIPT = """
(() => {
  const link = document.getElementById("go"), keep = link.closest("main").dataset.keep;
  const page = new URL(keep || link.href, location.href), name = "bff:" + page.pathname + page.search;
  let hash = location.hash === "#_=_" ? "" : location.hash;
  try {
    const [at, kept] = JSON.parse(sessionStorage.getItem(name)) || [0, ""];
    sessionStorage.removeItem(name);
    if (keep && hash) sessionStorage.setItem(name, JSON.stringify([Date.now(), hash]));
    if (!keep && !hash && Date.now() - at < 600000) hash = kept;
  } catch {}
  if (hash && !link.hash) link.hash = hash;
  const leave = () => {
    if (link.hash && link.pathname + link.search === location.pathname + location.search) {
      history.replaceState(null, "", link.pathname + (link.search ? "" : "?"));
    }
  };
  if (!link.dataset.now) return link.addEventListener("click", leave);
  leave();
  location.replace(link.href);
})();
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A button. `goes_on`: it leads to what was asked for, with its fragment; `at_once`: and no click is needed."""

    url: str
    text: str
    goes_on: bool = False
    at_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What stands on a page; plain texts, none of it markup. `logo` is a path of this site.

    `keep`: the address whose fragment this page keeps until a sign-in has come back to it. A page that goes on without
    `keep` puts back what was kept.
    """

    site: str
    title: str
    paragraphs: tuple[str, ...]
    links: tuple[Link, ...]
    reference: str | None = None
    detail: str | None = None
    support_url: str | None = None
    logo: str | None = None
    keep: str | None = None


def render(page: Page) -> bytes:
    """The page as HTML."""
    now = next((link for link in page.links if link.at_once), None)
    return _PAGE.substitute(
        title=escape(page.title),
        site=escape(page.site),
        # Without scripts the page goes on by itself too; with them it must not race the script, which knows the fragment.
        refresh=""
        if now is None
        else f'<noscript><meta http-equiv="refresh" content="0;url={escape(now.url)}"></noscript>\n',
        style=_STYLE,
        logo="" if page.logo is None else f'<img src="{escape(page.logo)}" alt="">',
        keep="" if page.keep is None else f' data-keep="{escape(page.keep)}"',
        paragraphs="".join(f"<p>{escape(text)}</p>\n" for text in page.paragraphs if text),
        links=" ".join(map(_link, page.links)),
        small=_small(page),
        script=f"<script>{_SCRIPT}</script>\n" if _has_script(page) else "",
    ).encode()


def policy(page: Page) -> Field:
    """The Content-Security-Policy of this page."""
    return _policy(has_script=_has_script(page), has_logo=page.logo is not None)


def _has_script(page: Page) -> bool:
    return any(link.goes_on for link in page.links)


@lru_cache
def _policy(*, has_script: bool, has_logo: bool) -> Field:
    parts = ["default-src 'none'", f"style-src {_hash(_STYLE)}"]
    if has_script:
        parts.append(f"script-src {_hash(_SCRIPT)}")
    if has_logo:
        parts.append("img-src 'self'")
    parts += ["frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"]
    return (b"content-security-policy", "; ".join(parts).encode("ascii"))


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def _link(link: Link) -> str:
    marks = (' id="go"' if link.goes_on else "") + (' data-now="1"' if link.at_once else "")
    return f'<a href="{escape(link.url)}"{marks}>{escape(link.text)}</a>'


def _small(page: Page) -> str:
    lines = []
    if page.detail:
        lines.append(f"Details: {escape(page.detail)}")
    if page.reference:
        lines.append(f"Reference <code>{escape(page.reference)}</code>")
    if page.support_url:
        lines.append(f'<a href="{escape(page.support_url)}">Get help</a>')
    return "".join(f'<p class="small">{line}</p>\n' for line in lines)
