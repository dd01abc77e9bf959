"""The protocol as pure functions: no sockets, no clock, no async, no globals; `now` is an argument, in Unix seconds.

Every exchange is a pair, `build_x_request` and `parse_x_response`, and only the parser makes the value that the next
step needs: a token cannot be used before it was judged, because until then there is nothing to hand on.

    ProviderRequest, ProviderResponse   what `provider/http.py` sends and returns (messages)
    ProviderMetadata                    where a provider's endpoints are and what it supports (metadata)
    code_verifier, code_challenge       one login's proof that the code is redeemed by who asked for it (pkce)
    Client, ClientAuth                  us, as registered with one provider; how we prove it (client_auth)
    Authentication                      the fields that prove it in one attempt (client_auth)
    PushedRequest                       the provider's reference to a request that it took from us (par, request_object)
    Nonces                              what providers and APIs demand in the proofs of bound tokens (dpop)
    CallbackParameters                  what the browser brought back, not yet judged (authorization)
    AuthorizationCode                   a code from a response that is the answer to our question (authorization)
    TokenResponse                       tokens that may be kept, not yet used (tokens)
    KeySet, VerifiedJwt                 a provider's public keys; a JWT whose signature and type were checked (jws)
    IdToken, LogoutToken                who signed in; who is to be signed out (id_token, logout)

Besides: `userinfo`, `step_up` (what an API asks for before it serves), `refresh_refusal` (which errors end a grant).

Below these: `strict_json` (one meaning or none), `form` (application/x-www-form-urlencoded), `error_response` (whose
fault an answer is), `retry_after`, `claims` (the checks that all our JWTs share).

May import: `bff.errors`, `bff.issuers`, `bff.loopback` and `bff.signing_key`. joserfc in `jws` only.
"""
