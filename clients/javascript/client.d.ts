/** Claims of the ID token (and of UserInfo, where the gateway asks it); never a token. */
export interface Claims {
  readonly iss?: string;
  readonly sub?: string;
  readonly name?: string;
  readonly email?: string;
  readonly [claim: string]: unknown;
}

/** One provider's sign-in, in a gateway with several. */
export type Login =
  | { readonly authenticated: true; readonly claims: Claims }
  | { readonly authenticated: false; readonly login_url: string };

/** A session; the times are in seconds, from the moment of the answer. */
export interface SignedIn {
  readonly authenticated: true;
  readonly provider: string;
  readonly claims: Claims;
  readonly session: { readonly idle_expires_in: number; readonly absolute_expires_in: number };
  readonly logins: Readonly<Record<string, Login>>;
}

/** No session. */
export interface SignedOut {
  readonly authenticated: false;
  readonly login_url: string;
}

export type User = SignedIn | SignedOut;

export interface SignInOptions {
  /** A provider's name from the gateway's configuration; its first one if left out. */
  readonly provider?: string;
  /** Where to come back to, on the gateway's origin; this very address, with its fragment, if left out (`/` for a gateway elsewhere). */
  readonly returnTo?: string | URL;
  /** What the provider's `login_params` in the gateway's configuration allow, such as `{ screen_hint: "signup" }`. */
  readonly params?: Readonly<Record<string, string>>;
}

export interface Events {
  /** A session began. `user` is there where this tab has just asked; where another tab began it, `bff.user()` says who it is. */
  signedin: { readonly type: "signedin"; readonly user?: SignedIn };
  /** The session ended: by a sign-out in any tab, by its time, or by a call that was answered with 401. */
  signedout: { readonly type: "signedout" };
  /** The session ends in `expiresIn` seconds unless it is used: `bff.user()` extends it, within its absolute limit. */
  expiring: { readonly type: "expiring"; readonly expiresIn: number };
}

export interface Client {
  /** Who is signed in. Extends the session, unless `touch` is false. Rejects with `GatewayError` if the gateway cannot say. */
  user(options?: { readonly touch?: boolean }): Promise<User>;
  /** `fetch`, with the gateway's header for calls to its origin. A 401 is an event and the answer, never a navigation. */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  /** Leave this page for the sign-in. */
  signIn(options?: SignInOptions): void;
  /** End the session here and in all tabs, then leave for the provider's sign-out. Rejects if it could not be ended. */
  signOut(): Promise<void>;
  /** Call `listener` at each event of this type; the function that it returns ends that. */
  on<Type extends keyof Events>(type: Type, listener: (event: Events[Type]) => void): () => void;
}

/** The gateway answered with a status that was not expected. */
export class GatewayError extends Error {
  readonly name: "GatewayError";
  readonly status: number;
  readonly response: Response;
}

/** A client for a gateway whose `base_path` is not `/bff`. */
export function createClient(options?: {
  readonly basePath?: string;
  /** The gateway's, where this page is of another one (`allowed_origins`): `https://app.example.com`. */
  readonly origin?: string;
}): Client;

/** The client of this origin's gateway. */
export const bff: Client;
