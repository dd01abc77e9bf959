// What the types must allow and refuse; `tsc --strict` reads this and runs nothing.

import { bff, createClient, GatewayError, type Client, type SignedIn, type User } from "../client.js";

const other: Client = createClient({ basePath: "/auth" });
const user: User = await bff.user();
if (user.authenticated) {
  const signedIn: SignedIn = user;
  const name: string | undefined = user.claims.name;
  const left: number = user.session.idle_expires_in;
  const login = user.logins["corp"];
  const url: string | undefined = login && !login.authenticated ? login.login_url : undefined;
  console.log(signedIn.provider, name, left, url);
  // @ts-expect-error: only who is signed out needs it
  user.login_url;
} else {
  const url: string = user.login_url;
  console.log(url);
  // @ts-expect-error: there are no claims of nobody
  user.claims;
}

const response: Response = await bff.fetch(new URL("/api/orders", location.href), { method: "POST" });
bff.signIn();
bff.signIn({ provider: "corp", returnTo: "/cart#2", params: { screen_hint: "signup" } });
// @ts-expect-error: a parameter is a text
bff.signIn({ params: { max_age: 5 } });
const end: () => void = bff.on("expiring", ({ expiresIn }) => console.log(expiresIn + 1));
bff.on("signedin", (event) => {
  // @ts-expect-error: only `expiring` has it
  event.expiresIn;
});
// @ts-expect-error: there is no such event
bff.on("signed-out", () => {});
const { fetch: call, on } = other; // nothing needs `this`
const left: Promise<void> = bff.signOut();
const status = (error: unknown): number | undefined => (error instanceof GatewayError ? error.status : undefined);
export { call, end, left, on, response, status };
