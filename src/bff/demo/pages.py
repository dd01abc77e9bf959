"""The demo provider's few pages. No script, nothing from elsewhere; everything that came from a request is escaped."""

from html import escape

from starlette.responses import HTMLResponse, Response

# Nothing may be loaded but our own style sheet. `form-action` is left out: Chromium applies it to the redirect that
# follows a form post too, and the sign-in form ends in a redirect to the client.
SECURITY_FIELDS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

STYLE = """\
:root { color-scheme: light dark; --ink: #1b1d29; --paper: #eef0f6; --card: #fff; --line: #d4d8e5; --accent: #3d4fd6; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e9ebf4; --paper: #12131b; --card: #1c1e2a; --line: #343849; --accent: #98a5ff; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
main { width: min(26rem, calc(100vw - 2rem)); padding: 2rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 14px; }
.mark { margin: 0 0 1rem; font-size: .8rem; letter-spacing: .08em; text-transform: uppercase; opacity: .7; }
h1 { margin: 0 0 .5rem; font-size: 1.4rem; line-height: 1.25; }
p { margin: 0 0 1rem; }
form { display: grid; gap: .6rem; margin-top: 1.2rem; }
button { display: block; width: 100%; padding: .7rem 1rem; font: inherit; text-align: left; cursor: pointer;
  color: inherit; background: transparent; border: 1px solid var(--line); border-radius: 9px; }
button:hover { border-color: var(--accent); }
button:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
button strong { display: block; }
button.quiet { border-color: transparent; text-align: center; opacity: .8; }
.small { font-size: .88rem; opacity: .75; margin: 1.2rem 0 0; }
code { font-size: .92em; overflow-wrap: anywhere; }
"""


def _page(title: str, body: str, *, base_path: str, status: int = 200) -> Response:
    document = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,">'
        f'<link rel="stylesheet" href="{base_path}/style.css"></head>'
        f'<body><main><p class="mark">Demo provider</p><h1>{escape(title)}</h1>{body}</main></body></html>\n'
    )
    return HTMLResponse(document, status_code=status, headers=SECURITY_FIELDS)


def sign_in_page(
    *, base_path: str, ticket: str, client_name: str, users: dict[str, str], scopes: tuple[str, ...]
) -> Response:
    """Two buttons instead of a password; `users` maps names to what is shown, `ticket` names the waiting request."""
    buttons = "".join(
        f'<button name="user" value="{escape(name)}"><strong>{escape(shown)}</strong>sign in as {escape(name)}</button>'
        for name, shown in users.items()
    )
    body = (
        f"<p>{escape(client_name)} asks who you are, and for: <code>{escape(' '.join(scopes))}</code></p>"
        f'<form method="post" action="{base_path}/sign_in">'
        f'<input type="hidden" name="ticket" value="{escape(ticket)}">{buttons}'
        '<button class="quiet" name="user" value="">Cancel</button></form>'
        '<p class="small">This provider knows no passwords. It is for trying things out, on this machine only.</p>'
    )
    return _page("Who are you?", body, base_path=base_path)


def sign_out_page(*, base_path: str, hidden: dict[str, str]) -> Response:
    """Ask before signing out, because the request does not prove who sent it (RP-Initiated Logout 1.0 section 2)."""
    inputs = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in hidden.items()
    )
    body = (
        f'<form method="post" action="{base_path}/end_session">{inputs}'
        '<button name="confirm" value="yes"><strong>Sign out</strong>of the demo provider</button></form>'
    )
    return _page("Sign out?", body, base_path=base_path)


def form_post_page(*, base_path: str, action: str, hidden: list[tuple[str, str]]) -> Response:
    """An authorization response as a form; other providers have a script submit it."""
    inputs = "".join(f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in hidden)
    body = f'<form method="post" action="{escape(action)}">{inputs}<button><strong>Continue</strong></button></form>'
    return _page("Signed in", body, base_path=base_path)


def signed_out_page(*, base_path: str) -> Response:
    """The end of the way when there is nowhere to go back to."""
    return _page("You are signed out", "<p>You can close this page.</p>", base_path=base_path)


def error_page(*, base_path: str, description: str, status: int = 400) -> Response:
    """A request that cannot be answered anywhere else."""
    return _page("This does not work", f"<p>{escape(description)}</p>", base_path=base_path, status=status)
