import type { Client, SignedIn } from "@bff-gateway/client";
import type { FunctionComponent, ReactNode } from "react";

export interface BffProviderProps {
  /** For a gateway whose `base_path` is not `/bff`: made once, outside of any component, by `createClient`. */
  readonly client?: Client;
  readonly children?: ReactNode;
}

/** Knows the user for everything inside it. */
export const BffProvider: FunctionComponent<BffProviderProps>;

export interface UserState {
  /** Who is signed in; `null` while that is not known, or where no one is. */
  readonly user: SignedIn | null;
  /** Whether the gateway has not answered yet. */
  readonly loading: boolean;
  /** Why it could not say; the user that was known before stays. */
  readonly error: unknown;
  readonly signIn: Client["signIn"];
  readonly signOut: Client["signOut"];
}

export function useUser(): UserState;

export interface FetchState<Data> {
  /** JSON as its value, other content as text; `undefined` until it is there, and when the user has changed. */
  readonly data: Data | undefined;
  /** A `GatewayError` for a status that is no success, or what `fetch` threw. */
  readonly error: unknown;
  readonly loading: boolean;
  /** Ask again. */
  readonly reload: () => void;
}

/** What the API at `url` answers; `null` asks nothing. `init` is read when the call is made and starts none by changing. */
export function useFetch<Data = unknown>(url: string | null, init?: RequestInit): FetchState<Data>;
