// React binding of the browser client: `<BffProvider>` asks once who is signed in and listens, the hooks read what it knows.

import { GatewayError, bff } from "@bff-gateway/client";
import { createContext, createElement, useCallback, useContext, useEffect, useMemo, useRef, useState } from "react";

const Context = createContext(undefined);
const NOT_ASKED = { user: null, loading: true, error: null };

/** Knows the user for everything inside it. `client`: for a gateway whose `base_path` is not `/bff`. */
export function BffProvider({ client = bff, children }) {
  const [state, setState] = useState(NOT_ASKED);

  useEffect(() => {
    let current = true;
    const show = (user) => current && setState({ user: user?.authenticated ? user : null, loading: false, error: null });
    const fail = (error) => current && setState((before) => ({ ...before, loading: false, error }));
    const ask = (options) => client.user(options).then(show, fail);
    const ends = [
      client.on("signedin", ({ user }) => (user ? show(user) : ask({ touch: false }))),
      client.on("signedout", () => show(null)),
    ];
    ask();
    return () => {
      current = false;
      for (const end of ends) end();
    };
  }, [client]);

  const value = useMemo(() => ({ ...state, client, signIn: client.signIn, signOut: client.signOut }), [state, client]);
  return createElement(Context.Provider, { value }, children);
}

function useBff() {
  const value = useContext(Context);
  if (value === undefined) throw new Error("this needs a <BffProvider> round it");
  return value;
}

/** Who is signed in (`null`: no one), whether that is still being asked, and the two ways to change it. */
export function useUser() {
  const { user, loading, error, signIn, signOut } = useBff();
  return { user, loading, error, signIn, signOut };
}

/** What the API at `url` answers; `null` for no call yet. Called again when `url` or the user changes, and by `reload()`. */
export function useFetch(url, init) {
  const { client, user, loading: asking } = useBff();
  const [turn, setTurn] = useState(0);
  const [answer, setAnswer] = useState({});
  const latest = useRef(init);
  latest.current = init;
  const who = user ? `${user.claims.iss} ${user.claims.sub}` : "";
  const key = asking || url == null ? null : `${turn} ${who} ${url}`;

  useEffect(() => {
    if (key === null) return undefined;
    const abort = new AbortController();
    const done = (result) => abort.signal.aborted || setAnswer({ key, ...result });
    read(client, url, { ...latest.current, signal: abort.signal }).then(
      (data) => done({ data }),
      (error) => done({ error }),
    );
    return () => abort.abort();
  }, [client, key]);

  const reload = useCallback(() => setTurn((before) => before + 1), []);
  const known = key !== null && answer.key === key ? answer : {}; // never the data of the user before
  const loading = asking || (key !== null && known.key === undefined);
  return { data: known.data, error: known.error ?? null, loading, reload };
}

async function read(client, url, init) {
  const response = await client.fetch(url, init);
  if (!response.ok) throw new GatewayError(response);
  if (response.status === 204) return undefined;
  return (response.headers.get("content-type") ?? "").includes("json") ? response.json() : response.text();
}
