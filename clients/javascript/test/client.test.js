import { afterEach, describe, expect, test, vi } from "vitest";

import { GatewayError, createClient } from "../client.js";
import { heard, page, pass } from "./page.js";

const MINUTE = 60_000;

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("user", () => {
  test("says who is signed in, as the gateway does", async () => {
    const { gateway } = page();
    const client = createClient();
    expect((await client.user()).authenticated).toBe(false);
    gateway.signIn();
    expect((await client.user()).claims.sub).toBe("alice");
    expect((await client.user({ touch: false })).authenticated).toBe(true);
    expect(gateway.asked).toEqual(["GET /bff/user", "GET /bff/user", "GET /bff/user?touch=0"]);
    expect(gateway.headers.every((headers) => headers.get("x-csrf") === "1")).toBe(true);
  });

  test("rejects where the gateway cannot say, and nobody is signed out by that", async () => {
    const { gateway } = page();
    gateway.signIn();
    const client = createClient();
    const events = heard(client);
    await client.user();
    await pass();
    gateway.answers["/bff/user"] = () => new Response("", { status: 503 });
    await expect(client.user()).rejects.toThrow(GatewayError);
    await expect(client.user()).rejects.toMatchObject({ status: 503 });
    await pass(3 * MINUTE);
    expect(events).toEqual(["signedin"]);
  });

  test("asks again where a sign-out overtook the answer", async () => {
    const { gateway } = page();
    gateway.signIn();
    const [client, other] = [createClient(), createClient()];
    await client.user();
    await other.user();
    let late;
    gateway.answers["/bff/user"] = () => new Promise((resolve) => { late = () => resolve(Response.json(stale)); });
    const stale = gateway.user();
    const asking = client.user();
    await other.signOut();
    await pass();
    delete gateway.answers["/bff/user"];
    late();
    expect((await asking).authenticated).toBe(false);
  });

  test("works below another base path", async () => {
    const { gateway } = page();
    await createClient({ basePath: "/auth" }).user();
    expect(gateway.asked).toEqual(["GET /auth/user"]);
  });
});

describe("fetch", () => {
  test("adds the header for this origin only", async () => {
    const { gateway } = page();
    gateway.signIn();
    const client = createClient();
    await client.fetch("/api/orders");
    await client.fetch(new URL("https://app.example/api/orders"), { method: "POST", headers: { "X-Other": "2" } });
    await client.fetch(new Request("https://app.example/api/orders", { headers: { Accept: "text/plain" } }));
    await client.fetch("https://cdn.example/file");
    await client.fetch("//app.example:8443/file", null);
    expect(gateway.headers.map((headers) => headers.get("x-csrf"))).toEqual(["1", "1", "1", null, null]);
    expect(gateway.headers[1].get("x-other")).toBe("2");
    expect(gateway.headers[2].get("accept")).toBe("text/plain");
  });

  test("is an event in all tabs where the session has ended, resolves with the 401, and goes nowhere", async () => {
    const { gateway, location } = page();
    gateway.signIn();
    const [client, other] = [createClient(), createClient()];
    await client.user();
    await other.user();
    await pass();
    const [here, there] = [heard(client), heard(other)];
    gateway.session = null;
    const answers = await Promise.all([1, 2, 3].map(() => client.fetch("/api/orders")));
    await pass();
    expect(answers.map((answer) => answer.status)).toEqual([401, 401, 401]);
    expect(here).toEqual(["signedout"]);
    expect(there).toEqual(["signedout"]);
    expect(location.assign).not.toHaveBeenCalled();
  });

  test("is an event too where the page never asked who is signed in", async () => {
    page();
    const [client, other] = [createClient(), createClient()];
    const [here, there] = [heard(client), heard(other)];
    await Promise.all([client.fetch("/api/orders"), client.fetch("/api/orders")]);
    await pass();
    expect(here).toEqual(["signedout"]);
    expect(there).toEqual(["signedout"]);
  });

  test("is no event where the API itself says 401 and the session lives", async () => {
    const { gateway } = page();
    gateway.signIn();
    const client = createClient();
    await client.user();
    await pass();
    const events = heard(client);
    gateway.answers["/api/orders"] = () => new Response("", { status: 401 });
    expect((await client.fetch("/api/orders")).status).toBe(401);
    await pass();
    expect(events).toEqual([]);
  });

  test("works in a worker, which has no document", async () => {
    const { gateway } = page();
    vi.stubGlobal("document", undefined);
    const client = createClient();
    const events = heard(client);
    expect((await client.fetch("/api/orders")).status).toBe(401);
    await client.fetch("https://cdn.example/file");
    await pass();
    expect(gateway.headers.map((headers) => headers.get("x-csrf"))).toEqual(["1", "1", null]);
    expect(events).toEqual(["signedout"]);
  });

  test("is no event where another origin says 401", async () => {
    const { gateway } = page();
    const events = heard(createClient());
    gateway.answers["/file"] = () => new Response("", { status: 401 });
    await createClient().fetch("https://cdn.example/file");
    await pass();
    expect(events).toEqual([]);
  });
});

describe("signIn", () => {
  const target = (location) => new URL(location.assign.mock.lastCall[0], "https://app.example");

  test("comes back to this address, fragment and all", () => {
    const { location } = page();
    createClient().signIn();
    expect(target(location).pathname).toBe("/bff/login");
    expect([...target(location).searchParams]).toEqual([["return_to", "/orders?open=1#line-3"]]);
  });

  test("takes a provider, a way back and what the provider allows", () => {
    const { location } = page();
    createClient().signIn({ provider: "corp", returnTo: "/cart#2", params: { screen_hint: "signup", return_to: "//evil" } });
    const said = [...target(location).searchParams];
    expect(said).toEqual([["screen_hint", "signup"], ["return_to", "/cart#2"], ["provider", "corp"]]);
  });

  test("refuses to come back to another origin", () => {
    const { location } = page();
    for (const returnTo of ["https://evil.example/", "//evil.example", "javascript:alert(1)", "\\\\evil.example"]) {
      expect(() => createClient().signIn({ returnTo })).toThrow(TypeError);
    }
    expect(location.assign).not.toHaveBeenCalled();
  });

  test("comes back to the path alone where the whole is too long", () => {
    const { location } = page({ address: `https://app.example/orders?q=${"a".repeat(3000)}#x` });
    createClient().signIn();
    expect(target(location).searchParams.get("return_to")).toBe("/orders");
  });
});

describe("signOut", () => {
  test("ends the session, tells all tabs of this base path, and leaves for the provider", async () => {
    const { gateway, location } = page();
    gateway.signIn();
    const [client, other, elsewhere] = [createClient(), createClient(), createClient({ basePath: "/b" })];
    for (const each of [client, other, elsewhere]) await each.user();
    await pass();
    const events = [client, other, elsewhere].map(heard);
    await client.signOut();
    await pass();
    expect(events).toEqual([["signedout"], ["signedout"], []]);
    expect(gateway.asked.filter((call) => call.startsWith("POST"))).toEqual(["POST /bff/logout"]);
    expect(location.assign).toHaveBeenCalledWith("https://login.example/end");
  });

  test("takes a second click for the first, and can be called again after a sign-in", async () => {
    const { gateway, location } = page();
    gateway.signIn();
    const client = createClient();
    await client.user();
    await pass();
    const events = heard(client);
    await Promise.all([client.signOut(), client.signOut()]);
    await client.signOut();
    await pass();
    const posts = () => gateway.asked.filter((call) => call.startsWith("POST")).length;
    expect([posts(), location.assign.mock.calls.length, events]).toEqual([1, 1, ["signedout"]]);
    gateway.signIn();
    await client.user();
    await client.signOut();
    expect(posts()).toBe(2);
  });

  test("can be called again after it failed, and on a page that is shown again", async () => {
    const { gateway, dispatch } = page();
    const client = createClient();
    gateway.answers["/bff/logout"] = () => new Response("", { status: 503 });
    await expect(client.signOut()).rejects.toThrow(GatewayError);
    delete gateway.answers["/bff/logout"];
    await client.signOut();
    dispatch("pageshow", { persisted: true });
    await client.signOut();
    expect(gateway.asked.filter((call) => call.startsWith("POST")).length).toBe(3);
  });

  test("rejects where the session could not be ended, and then no tab believes it", async () => {
    const { gateway, location } = page();
    gateway.signIn();
    const client = createClient();
    await client.user();
    await pass();
    const events = heard(client);
    gateway.answers["/bff/logout"] = () => new Response("", { status: 503 });
    await expect(client.signOut()).rejects.toThrow("503");
    expect(events).toEqual([]);
    expect(location.assign).not.toHaveBeenCalled();
  });
});

describe("signedin", () => {
  test("is raised in every tab by the first user() that finds a session no tab knew", async () => {
    const { gateway } = page();
    const waiting = createClient();
    await waiting.user();
    const there = heard(waiting);
    gateway.signIn();
    const back = createClient();
    const here = heard(back);
    await back.user();
    await pass();
    expect(here).toEqual(["signedin"]);
    expect(there).toEqual(["signedin"]);
  });

  test("is not raised by a page that another tab tells that it knows the session", async () => {
    const { gateway } = page();
    gateway.signIn();
    const first = createClient();
    await first.user();
    await pass();
    const second = createClient();
    const events = [heard(first), heard(second)];
    await second.user();
    await second.user();
    await pass();
    expect(events).toEqual([[], []]);
  });

  test("is not raised in a page whose first answer is under way when another tab raises it: `user()` says it", async () => {
    const { gateway } = page();
    gateway.signIn();
    const back = createClient();
    await back.user();
    let late;
    gateway.answers["/bff/user"] = () => new Promise((resolve) => { late = () => resolve(Response.json({ authenticated: false })); });
    const loading = createClient();
    const events = heard(loading);
    const asking = loading.user();
    await pass(); // `back` says `signedin`: no tab answered that it knew
    delete gateway.answers["/bff/user"];
    late();
    expect((await asking).authenticated).toBe(true); // asked again: the first answer was older than the sign-in
    await pass();
    expect(events).toEqual([]);
  });

  test("is raised in a page that never asked, once another tab signs in", async () => {
    const { gateway } = page();
    gateway.signIn();
    const events = heard(createClient());
    await createClient().user();
    await pass();
    expect(events).toEqual(["signedin"]);
  });

  test("is raised where another user signed in", async () => {
    const { gateway } = page();
    gateway.signIn("alice");
    const first = createClient();
    await first.user();
    await pass();
    const events = heard(first);
    gateway.signIn("bob");
    await createClient().user();
    await pass();
    expect(events).toEqual(["signedin"]);
  });

  test("works without other tabs, where the browser has no BroadcastChannel", async () => {
    const { gateway, location } = page({ channels: false });
    gateway.signIn();
    const client = createClient();
    const events = heard(client);
    await client.user();
    await pass();
    await client.signOut();
    expect(events).toEqual(["signedin", "signedout"]);
    expect(location.assign).toHaveBeenCalled();
  });
});

describe("the session's clock", () => {
  async function signedIn(session) {
    const world = page();
    world.gateway.signIn("alice", session);
    const client = createClient();
    await client.user();
    await pass();
    return { ...world, client, events: heard(client), asked: () => world.gateway.asked.length };
  }

  test("says `expiring` a minute before the end and `signedout` at it, and asks nothing before", async () => {
    const { events, asked } = await signedIn({ idle: 1800 });
    await pass(28 * MINUTE);
    expect([events, asked()]).toEqual([[], 1]);
    await pass(2 * MINUTE - 1000);
    expect(events).toEqual(["expiring"]);
    await pass(5000);
    expect(events).toEqual(["expiring", "signedout"]);
    expect(asked()).toBe(3);
    await pass(24 * 60 * MINUTE);
    expect(asked()).toBe(3);
  });

  test("says how many seconds are left", async () => {
    const { client } = await signedIn({ idle: 1800 });
    const seen = [];
    client.on("expiring", ({ expiresIn }) => seen.push(expiresIn));
    await pass(30 * MINUTE - 5000);
    expect(seen[0]).toBeGreaterThan(55);
    expect(seen[0]).toBeLessThanOrEqual(60);
    expect(seen.length).toBe(1);
  });

  test("says nothing where another tab or a stream kept the session alive", async () => {
    const { gateway, events } = await signedIn({ idle: 1800 });
    await pass(20 * MINUTE);
    gateway.session.idleEnds = Date.now() + 30 * MINUTE;
    await pass(20 * MINUTE);
    expect(events).toEqual([]);
    await pass(9.5 * MINUTE);
    expect(events).toEqual(["expiring"]);
  });

  test("warns again after a session that was extended in its last minute", async () => {
    const { client, events } = await signedIn({ idle: 1800 });
    await pass(29.5 * MINUTE);
    await client.user();
    await pass(29.5 * MINUTE);
    expect(events).toEqual(["expiring", "expiring"]);
  });

  test("warns at once where less than a minute is left", async () => {
    const { gateway, client, events } = await signedIn({ idle: 1800 });
    gateway.session.ends = Date.now() + 30_000;
    await client.user();
    expect(events).toEqual(["expiring"]);
    await pass(2 * MINUTE);
    expect(events).toEqual(["expiring", "signedout"]);
  });

  test("counts past 24.8 days, where setTimeout would run at once", async () => {
    const day = 24 * 60 * MINUTE;
    const { events, asked } = await signedIn({ idle: 40 * 86400, absolute: 60 * 86400 });
    await pass(39 * day);
    expect([events, asked()]).toEqual([[], 1]);
    await pass(day + 5000);
    expect(events).toEqual(["expiring", "signedout"]);
  });

  test("asks before it believes a clock that jumped ahead", async () => {
    const { gateway, events, dispatch } = await signedIn({ idle: 1800 });
    vi.setSystemTime(Date.now() + 3 * 60 * MINUTE);
    gateway.session.idleEnds = Date.now() + 29 * MINUTE;
    gateway.session.ends = Date.now() + 600 * MINUTE;
    dispatch("online");
    await pass();
    expect(events).toEqual([]);
  });

  test("is not stopped by a clock that was set back", async () => {
    const { gateway, events } = await signedIn({ idle: 1800 });
    const back = 5 * 60 * MINUTE;
    vi.setSystemTime(Date.now() - back);
    gateway.session.idleEnds -= back;
    await pass(31 * MINUTE);
    expect(events).toEqual(["expiring", "signedout"]);
  });

  test("looks when a tab is shown whose timers did not run", async () => {
    const { events, document } = await signedIn({ idle: 1800 });
    vi.clearAllTimers();
    vi.setSystemTime(Date.now() + 31 * MINUTE);
    document.dispatchEvent(new Event("visibilitychange"));
    await pass();
    expect(events).toEqual(["signedout"]);
  });

  test("warns by itself where the gateway is out of reach, and never signs out by itself", async () => {
    const { gateway, events, dispatch } = await signedIn({ idle: 1800 });
    gateway.answers["/bff/user"] = () => Promise.reject(new TypeError("offline"));
    await pass(60 * MINUTE);
    expect(events).toEqual(["expiring"]);
    delete gateway.answers["/bff/user"];
    dispatch("online");
    await pass();
    expect(events).toEqual(["expiring", "signedout"]);
  });
});

describe("the back/forward cache", () => {
  test("keeps no channel open, and a page shown again learns of a sign-out it did not hear", async () => {
    const { gateway, dispatch } = page();
    gateway.signIn();
    const client = createClient();
    await client.user();
    await pass();
    const events = heard(client);
    dispatch("pagehide");
    gateway.session = null;
    await pass();
    expect(events).toEqual([]);
    dispatch("pageshow", { persisted: true });
    await pass();
    expect(events).toEqual(["signedout"]);
  });

  test("a page shown again learns of a sign-in, and hears other tabs again", async () => {
    const { gateway, dispatch } = page();
    const client = createClient();
    await client.user();
    const events = heard(client);
    dispatch("pagehide");
    gateway.signIn();
    dispatch("pageshow", { persisted: true });
    await pass();
    expect(events).toEqual(["signedin"]);
    const other = createClient();
    await other.user();
    await other.signOut();
    await pass();
    expect(events).toEqual(["signedin", "signedout"]);
  });

  test("a page that is loaded for the first time asks nothing by itself", async () => {
    const { gateway, dispatch } = page();
    heard(createClient());
    dispatch("pageshow", { persisted: false });
    await pass();
    expect(gateway.asked).toEqual([]);
  });
});

describe("on", () => {
  test("returns what ends it, and refuses an event that does not exist", async () => {
    page();
    const client = createClient();
    const calls = [];
    const end = client.on("signedout", () => calls.push(1));
    await client.fetch("/api/orders");
    end();
    end();
    await client.fetch("/api/orders");
    expect(calls).toEqual([1]);
    expect(() => client.on("signed-out", () => {})).toThrow("signedin, signedout, expiring");
  });

  test("a listener that throws keeps nothing from the others", async () => {
    page();
    const client = createClient();
    const calls = [];
    client.on("signedout", () => { throw new Error("a mistake of the page"); });
    client.on("signedout", () => calls.push(1));
    await client.fetch("/api/orders");
    expect(calls).toEqual([1]);
    await expect(pass()).rejects.toThrow("a mistake of the page");
  });
});
