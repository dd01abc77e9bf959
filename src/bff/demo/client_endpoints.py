"""The demo provider's face to clients: tokens, UserInfo, revocation. Errors are JSON (RFC 6749 section 5.2)."""

from starlette.responses import JSONResponse, Response

from bff.demo.authorization_requests import granted_scopes
from bff.demo.grants import Client, Grant, OAuthError
from bff.demo.issuing import USERS, TokenIssuer, user_claims
from bff.demo.parameters import Call, authenticate, optional, required, resources


class ClientEndpoints(TokenIssuer):
    """`/token`, `/userinfo` and `/revoke`."""

    def token(self, call: Call) -> Response:
        """The token endpoint (RFC 6749 section 3.2)."""
        client = authenticate(call, self.clients)
        grant_types = {
            "authorization_code": self._redeem_code,
            "refresh_token": self._refresh,
            "client_credentials": self._client_credentials,
        }
        grant_type = grant_types.get(required(call.form, "grant_type"))
        if grant_type is None:
            raise OAuthError("unsupported_grant_type", "this provider does not know that grant_type")
        return json_answer(self.token_answer(grant_type(call, client)))

    def token_answer(self, answer: dict[str, object]) -> dict[str, object]:
        """The last step of every token response."""
        return answer

    def _redeem_code(self, call: Call, client: Client) -> dict[str, object]:
        grant = self.grants.redeem_code(
            required(call.form, "code"),
            client_id=client.client_id,
            redirect_uri=required(call.form, "redirect_uri"),
            code_verifier=required(call.form, "code_verifier"),
            now=self.clock(),
        )
        answer = self._tokens(call, client, grant, scopes=grant.authorization.scopes, first=True)
        if "offline_access" in grant.authorization.scopes:
            answer["refresh_token"] = self.grants.issue_refresh_token(grant)
        return answer

    def _refresh(self, call: Call, client: Client) -> dict[str, object]:
        old = required(call.form, "refresh_token")
        grant = self.grants.refresh_grant(old, client_id=client.client_id)
        scopes = _narrowed(optional(call.form, "scope"), grant.authorization.scopes)
        answer = self._tokens(call, client, grant, scopes=scopes, first=False)
        return {**answer, "refresh_token": self.rotated(old)}

    def rotated(self, refresh_token: str) -> str:
        """The refresh token that takes this one's place."""
        return self.grants.replace_refresh_token(refresh_token)

    def _tokens(
        self, call: Call, client: Client, grant: Grant, *, scopes: tuple[str, ...], first: bool
    ) -> dict[str, object]:
        authorization = grant.authorization
        wanted = resources(call.form)
        if not set(wanted) <= set(authorization.resources):
            raise OAuthError("invalid_target", "the user did not allow this resource")
        access_token = self.access_token(
            subject=authorization.user,
            client=client,
            scopes=scopes,
            resources=wanted or authorization.resources,
            grant_id=grant.grant_id,
        )
        answer = self._token_response(access_token, scopes)
        if "openid" in scopes:
            answer["id_token"] = self.id_token(grant, access_token=access_token, with_nonce=first)
        return answer

    def _client_credentials(self, call: Call, client: Client) -> dict[str, object]:
        scopes = granted_scopes(optional(call.form, "scope"), client)
        access_token = self.access_token(
            subject=client.client_id,
            client=client,
            scopes=scopes,
            resources=resources(call.form),
            grant_id="client",
        )
        return self._token_response(access_token, scopes)

    def _token_response(self, access_token: str, scopes: tuple[str, ...]) -> dict[str, object]:
        return {
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": self.access_token_lifetime_seconds,
            "scope": " ".join(scopes),
        }

    def userinfo(self, call: Call) -> Response:
        """The UserInfo endpoint (OpenID Connect Core section 5.3)."""
        scheme, _, token = (call.header("authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            raise OAuthError("invalid_token", "an access token is needed", status=401)
        claims = self.access_token_claims(token)
        scopes = str(claims["scope"]).split()
        if "openid" not in scopes or claims["sub"] not in USERS:
            raise OAuthError("insufficient_scope", "the openid scope is needed", status=403)
        return json_answer(self.userinfo_answer({"sub": claims["sub"], **user_claims(str(claims["sub"]), scopes)}))

    def userinfo_answer(self, claims: dict[str, object]) -> dict[str, object]:
        """The last step of every UserInfo response."""
        return claims

    def revoke(self, call: Call) -> Response:
        """The revocation endpoint (RFC 7009)."""
        client = authenticate(call, self.clients)
        token = required(call.form, "token")
        grant = self.grants.grant_of_refresh_token(token)
        if grant is not None:
            if grant.authorization.client_id != client.client_id:
                raise OAuthError("unauthorized_client", "the token belongs to another client")
            self.grants.end(grant.grant_id)
            return json_answer({})
        return self._revoke_access_token(token, client)

    def _revoke_access_token(self, token: str, client: Client) -> Response:
        try:
            claims = self.access_token_claims(token)
        except OAuthError:
            return json_answer({})  # RFC 7009 section 2.2: an unknown token needs no revocation, and that is no error
        if claims["client_id"] != client.client_id:
            raise OAuthError("unauthorized_client", "the token belongs to another client")
        self.revoke_access_token(claims)
        return json_answer({})


def json_answer(body: dict[str, object], *, status: int = 200) -> JSONResponse:
    """A JSON body that must not be stored (RFC 6749 section 5.1)."""
    return JSONResponse(body, status_code=status, headers={"cache-control": "no-store", "pragma": "no-cache"})


def json_error(error: OAuthError) -> Response:
    """An error response, with a challenge when it is a 401."""
    response = json_answer({"error": error.error, "error_description": error.description}, status=error.status)
    if error.status == 401:
        scheme = "Bearer" if error.error == "invalid_token" else "Basic"
        response.headers["www-authenticate"] = f'{scheme} realm="demo provider", error="{error.error}"'
    return response


def _narrowed(scope: str | None, granted: tuple[str, ...]) -> tuple[str, ...]:
    """The scopes of a refresh: never more than was granted (RFC 6749 section 6)."""
    if scope is None:
        return granted
    wanted = tuple(scope.split(" "))
    if not set(wanted) <= set(granted):
        raise OAuthError("invalid_scope", "the user did not grant this scope")
    return wanted
