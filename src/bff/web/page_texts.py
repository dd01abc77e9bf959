"""What a page tells a person, for each problem: what happened, what to do, and the buttons. In people's words, not HTTP's.

A failed sign-in is told by its `reason` where there are words for it, every other problem by the last part of its `type`.
"""

from enum import Enum, auto
from typing import NamedTuple


class Button(Enum):
    """Where a page leads."""

    SIGN_IN = auto()  # a new sign-in at the same provider, back to where this one was to lead
    AGAIN = auto()  # the same page once more
    APP = auto()  # the start page of the app


class PageText(NamedTuple):
    """`shows_detail`: the problem's `detail` says more, in words for the people who build or run the app."""

    title: str
    happened: str
    to_do: str
    buttons: tuple[Button, ...] = (Button.APP,)
    shows_detail: bool = False


_SIGN_IN_OR_APP = (Button.SIGN_IN, Button.APP)
_AGAIN_OR_APP = (Button.AGAIN, Button.APP)
_SOFTWARE = "This is a matter for the people who run this site: tell them the reference below."

_REFUSES_THE_APP = "The sign-in service refuses this app: one of the two is not set up as the other expects."

# Error codes of a provider that only the operator can mend.
NOT_SET_UP = frozenset(
    {
        *("invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope"),
        *("invalid_request_object", "request_not_supported", "request_uri_not_supported"),
        *("registration_not_supported", "invalid_authorization_details", "invalid_target", "invalid_client"),
        *("invalid_dpop_proof", "use_dpop_nonce", "unsupported_grant_type"),
        *("redirect_uri_mismatch", "invalid_client_id"),  # GitHub's, Slack's
    }
)

# In an answer to us, such as to a pushed request, or at a refresh: the person may be signed in.
APP_REFUSED = PageText("You cannot sign in right now", _REFUSES_THE_APP, _SOFTWARE, _AGAIN_OR_APP)

SIGN_IN_FAILED = PageText(
    "You were not signed in",
    "The sign-in could not be completed: the answer of the sign-in service failed a security check.",
    "Sign in again. If it fails again, tell the people who run this site the reference below.",
    _SIGN_IN_OR_APP,
)

SIGN_IN_DECLINED = PageText(
    "You were not signed in",
    "The sign-in service ended the sign-in with an error of its own.",
    "Sign in again. If it fails again, tell the people who run this site the reference below.",
    _SIGN_IN_OR_APP,
)

# Reasons of a refused callback: of ours, and errors of providers (RFC 6749 section 4.1.2.1, OpenID Connect Core section 3.1.2.6).
BY_REASON: dict[str, PageText] = {
    **dict.fromkeys(
        ("access_denied", "user_cancelled_login", "user_cancelled_authorize"),  # the last two are LinkedIn's
        PageText(
            "You were not signed in",
            "The sign-in was cancelled, or your account may not use this app.",
            "Sign in again, with another account if you have one.",
            _SIGN_IN_OR_APP,
        ),
    ),
    "state_expired": PageText(
        "The sign-in took too long",
        "Too much time has passed since it began, so it does not count any more. Nothing is wrong with your account.",
        "Sign in again. You come back to where you were.",
        _SIGN_IN_OR_APP,
    ),
    "state_unknown": PageText(
        "This sign-in is over",
        "It began in another browser, or before a sign-out in this one. You may be signed in already.",
        "Go to the app. If it does not know you, sign in again.",
        (Button.APP, Button.SIGN_IN),
    ),
    "signed_out": PageText(
        "You signed out meanwhile",
        "The sign-out came while this sign-in was under way.",
        "Sign in again, if you want to.",
        _SIGN_IN_OR_APP,
    ),
    "state_missing": PageText(
        "This is no sign-in of yours",
        "The answer of the sign-in service does not say which sign-in it belongs to.",
        "Sign in again, from the start.",
        _SIGN_IN_OR_APP,
    ),
    "browser_unknown": PageText(
        "This sign-in did not begin here",
        "It began in another browser, it began too long ago, or this browser keeps no cookies of this site.",
        "Allow cookies for this site, and sign in again in this browser.",
        _SIGN_IN_OR_APP,
    ),
    "provider_mismatch": PageText(
        "You were not signed in",
        "The sign-in began at another sign-in service than the one that answered.",
        "Sign in again, from the start.",
        _SIGN_IN_OR_APP,
    ),
    **dict.fromkeys(
        ("invalid_grant", "bad_verification_code"),  # the second is GitHub's
        PageText(
            "The sign-in took too long",
            "The sign-in service does not accept its own answer any more.",
            "Sign in again.",
            _SIGN_IN_OR_APP,
        ),
    ),
    "invalid_request_uri": PageText(
        "The sign-in took too long",
        "The sign-in service does not know any more what this app asked of it.",
        "Sign in again.",
        _SIGN_IN_OR_APP,
    ),
    "temporarily_unavailable": PageText(
        "You cannot sign in right now",
        "The sign-in service is busy or being worked on.",
        "Sign in again in a few minutes.",
        _SIGN_IN_OR_APP,
    ),
    "server_error": PageText(
        "You cannot sign in right now",
        "The sign-in service has a fault.",
        "Sign in again in a few minutes.",
        _SIGN_IN_OR_APP,
    ),
    "unmet_authentication_requirements": PageText(
        "You were not signed in",
        "The page needs a stronger way to sign in than the sign-in service has for your account.",
        "Set one up there, a second factor for instance, and sign in again.",
        _SIGN_IN_OR_APP,
    ),
    **dict.fromkeys(
        ("login_required", "interaction_required", "consent_required", "account_selection_required"),
        PageText(
            "You were not signed in",
            "The sign-in service needs you to answer a question first.",
            "Sign in again.",
            _SIGN_IN_OR_APP,
        ),
    ),
    **dict.fromkeys(NOT_SET_UP, PageText("You were not signed in", _REFUSES_THE_APP, _SOFTWARE, _SIGN_IN_OR_APP)),
}

BY_TYPE: dict[str, PageText] = {
    "malformed-request": PageText(
        "This address does not work",
        "A part of the address or of the request cannot be used, so nothing was done.",
        "Check the address, or start from the app.",
        shows_detail=True,
    ),
    "bad-request": PageText(
        "This does not work",
        "The request cannot be served as it came, so nothing was done.",
        "Start from the app.",
        shows_detail=True,
    ),
    "callback-refused": SIGN_IN_FAILED,
    "token-refused": SIGN_IN_FAILED,
    "sign-in-loop": PageText(
        "Signing in does not help",
        "You were signed in twice within a minute, and this browser still brings no sign-in to this page.",
        "Allow cookies for this site, turn off what removes them, and sign in again.",
        _SIGN_IN_OR_APP,
    ),
    "login-required": PageText(
        "Sign in to go on",
        "This page is for people who are signed in, and you are not, or not any more.",
        "Sign in. You come back to this page.",
        _SIGN_IN_OR_APP,
    ),
    "step-up-required": PageText(
        "Confirm that it is you",
        "This page asks for a more recent or a stronger sign-in than yours.",
        "Sign in once more. You come back to this page.",
        _SIGN_IN_OR_APP,
    ),
    "not-permitted": PageText(
        "You may not open this page",
        "You are signed in, but your account does not have the rights that this page asks for.",
        "Go back to the app, or ask the people who run this site for access.",
    ),
    "csrf-refused": PageText(
        "This did not come from the app",
        "Another site sent you here, or a page that may not do this. Nothing was done.",
        "Start from the app.",
        shows_detail=True,
    ),
    "not-a-page": PageText(
        "This is not a page",
        "This address belongs to the app's API: the app calls it, and it cannot be opened in the browser.",
        "Go to the app.",
    ),
    "plain-http": PageText(
        "Use the secure address",
        "This came over a connection that is not encrypted. Nothing was done.",
        "Open the app with https in front, and do it there once more.",
        shows_detail=True,
    ),
    "no-route": PageText(
        "There is no such page",
        "Nothing is at this address. It may be mistyped, or have moved.",
        "Check the address, or start from the app.",
    ),
    "method-not-allowed": PageText(
        "This cannot be opened as a page",
        "There is something at this address, but not for what the browser wanted to do with it.",
        "Start from the app.",
    ),
    "request-timeout": PageText(
        "This took too long",
        "The browser did not send everything in time.",
        "Check your connection, and try again.",
        _AGAIN_OR_APP,
    ),
    "content-too-large": PageText(
        "This is too large",
        "What was sent is larger than this site takes. Nothing was kept.",
        "Go back and send something smaller.",
        shows_detail=True,
    ),
    "target-too-long": PageText(
        "This address is too long",
        "The address is longer than this site takes.",
        "Start from the app.",
        shows_detail=True,
    ),
    "misdirected-request": PageText(
        "This is the wrong address",
        "The address that you opened is not the one of this site, or a proxy on the way has changed it.",
        "Open the site at its own address.",
    ),
    "websocket-version": PageText("This is not a page", "This address is for WebSockets.", "Go to the app."),
    "head-too-large": PageText(
        "The browser sent too much",
        "The request has more header fields than this site takes, often because of many cookies.",
        "Remove the cookies of this site in the browser, and open it again.",
        shows_detail=True,
    ),
    "not-implemented": PageText(
        "This does not work", "The browser wants something that this site does not do.", "Start from the app."
    ),
    "version-not-supported": PageText(
        "This does not work", "The browser, or a proxy, speaks an unknown version of HTTP.", _SOFTWARE
    ),
    "loop-detected": PageText("This site leads back to itself", "One of its parts is not set up correctly.", _SOFTWARE),
    "provider-unavailable": PageText(
        "You cannot sign in right now",
        "The sign-in service does not answer. If you were signed in, you still are.",
        "Try again shortly.",
        _AGAIN_OR_APP,
    ),
    "provider-misbehaved": PageText(
        "You cannot sign in right now",
        "The sign-in service gave an answer that cannot be used.",
        "Try again. If it fails again, tell the people who run this site the reference below.",
        _AGAIN_OR_APP,
    ),
    "store-unavailable": PageText(
        "This site cannot look you up right now",
        "The place where it remembers who is signed in does not answer. If you were signed in, you still are.",
        "Try again shortly.",
        _AGAIN_OR_APP,
    ),
    "secret-unavailable": PageText(
        "This site is not ready", "A part of its configuration is missing.", "Try again shortly.", _AGAIN_OR_APP
    ),
    "upstream-busy": PageText(
        "Too much is going on", "The app's API takes no more requests now.", "Try again shortly.", _AGAIN_OR_APP
    ),
    "upstream-timeout": PageText(
        "The app does not answer", "Its API took too long.", "Try again shortly.", _AGAIN_OR_APP, shows_detail=True
    ),
    "upstream-failed": PageText(
        "The app does not answer",
        "Its API could not be reached, or gave an answer that cannot be used.",
        "Try again shortly.",
        _AGAIN_OR_APP,
        shows_detail=True,
    ),
    "internal-error": PageText(
        "Something went wrong",
        "This site made a mistake.",
        "Try again. If it happens again, tell the people who run this site the reference below.",
        _AGAIN_OR_APP,
    ),
}


def text_of(kind: str) -> PageText:
    """The text for a problem of this kind; one that has no text of its own is told as a mistake of ours."""
    return BY_TYPE.get(kind, BY_TYPE["internal-error"])


def refused_sign_in(reason: str, *, by_provider: bool) -> PageText:
    """The text for a refused callback; `by_provider`: the reason is the provider's own error code, known to us or not."""
    return BY_REASON.get(reason, SIGN_IN_DECLINED if by_provider else SIGN_IN_FAILED)
