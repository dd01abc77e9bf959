// What the types must allow and refuse; `tsc --strict` reads this and runs nothing.

import { createClient } from "@bff-gateway/client";
import { createElement } from "react";
import { BffProvider, useFetch, useUser } from "../index.js";

export const tree = createElement(BffProvider, { client: createClient({ basePath: "/auth" }) }, "text");

export function App(): string {
  const { user, loading, signIn, signOut } = useUser();
  const { data, reload } = useFetch<{ orders: string[] }>(user ? "/api/orders" : null);
  // @ts-expect-error: there may be no user
  user.claims;
  // @ts-expect-error: there may be no data
  data.orders;
  reload();
  void signOut();
  signIn({ returnTo: "/cart" });
  return loading ? "..." : (user?.claims.name ?? data?.orders[0] ?? "");
}
