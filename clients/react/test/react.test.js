import { act, createElement, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { BffProvider, useFetch, useUser } from "../index.js";

globalThis.IS_REACT_ACT_ENVIRONMENT = true;

const person = (sub) => ({ authenticated: true, provider: "corp", claims: { iss: "i", sub }, session: {}, logins: {} });
const NO_ONE = { authenticated: false, login_url: "/bff/login" };

/** A client that answers what the test says, and raises what the test raises. */
function client(first) {
  const listeners = { signedin: new Set(), signedout: new Set(), expiring: new Set() };
  return {
    now: first,
    calls: [],
    user: vi.fn(async function () { return this.now; }),
    fetch: vi.fn(async (url) => Response.json({ at: url })),
    signIn: vi.fn(),
    signOut: vi.fn(),
    on: (type, listener) => {
      listeners[type].add(listener);
      return () => listeners[type].delete(listener);
    },
    raise: (type, detail) => act(async () => listeners[type].forEach((listener) => listener({ type, ...detail }))),
    listening: () => Object.values(listeners).reduce((sum, set) => sum + set.size, 0),
  };
}

let root;
let place;

beforeEach(() => {
  place = document.createElement("div");
  root = createRoot(place);
});

afterEach(() => act(async () => root.unmount()));

const show = (bff, Component, { strict = false } = {}) => act(async () => {
  const app = createElement(BffProvider, { client: bff }, createElement(Component));
  root.render(strict ? createElement(StrictMode, null, app) : app);
});

function Name() {
  const { user, loading, error } = useUser();
  if (error) return `error ${error.message}`;
  return loading ? "..." : (user?.claims.sub ?? "no one");
}

function Orders() {
  const { user } = useUser();
  const { data, error, loading, reload } = useFetch(user ? "/api/orders" : null);
  const text = `${user?.claims.sub ?? "-"} ${data?.at ?? "-"} ${error?.status ?? "-"} ${loading}`;
  return createElement("button", { onClick: reload }, text);
}

test("useUser says who is signed in, after saying that it asks", async () => {
  const bff = client(person("alice"));
  let answer;
  bff.user = vi.fn(() => new Promise((resolve) => { answer = () => resolve(bff.now); }));
  await show(bff, Name);
  expect(place.textContent).toBe("...");
  await act(async () => answer());
  expect(place.textContent).toBe("alice");
});

test("useUser follows what happens in any tab", async () => {
  const bff = client(NO_ONE);
  await show(bff, Name);
  expect(place.textContent).toBe("no one");
  bff.now = person("alice");
  await bff.raise("signedin");
  expect(place.textContent).toBe("alice");
  await bff.raise("signedin", { user: person("bob") });
  expect(place.textContent).toBe("bob");
  await bff.raise("signedout");
  expect(place.textContent).toBe("no one");
  expect(bff.user).toHaveBeenCalledTimes(2);
});

test("useUser says why the gateway could not say", async () => {
  const bff = client(NO_ONE);
  bff.user = vi.fn(() => Promise.reject(new Error("503")));
  await show(bff, Name);
  expect(place.textContent).toBe("error 503");
});

test("the provider leaves no listener behind, in strict mode too", async () => {
  const bff = client(person("alice"));
  await show(bff, Name, { strict: true });
  expect(place.textContent).toBe("alice");
  expect(bff.listening()).toBe(2);
  await act(async () => root.render(null));
  expect(bff.listening()).toBe(0);
});

test("useFetch asks when there is a user, again for another one, and keeps no data of the one before", async () => {
  const bff = client(NO_ONE);
  await show(bff, Orders);
  expect([place.textContent, bff.fetch.mock.calls.length]).toEqual(["- - - false", 0]);
  await bff.raise("signedin", { user: person("alice") });
  expect(place.textContent).toBe("alice /api/orders - false");
  bff.fetch = vi.fn(() => new Promise(() => {}));
  await bff.raise("signedin", { user: person("bob") });
  expect(place.textContent).toBe("bob - - true");
  await bff.raise("signedout");
  expect(place.textContent).toBe("- - - false");
});

test("useFetch says the status that was no success, and asks again when it is told to", async () => {
  const bff = client(person("alice"));
  bff.fetch = vi.fn(async () => new Response("", { status: 502 }));
  await show(bff, Orders);
  expect(place.textContent).toBe("alice - 502 false");
  bff.fetch = vi.fn(async () => Response.json({ at: "again" }));
  await act(async () => place.querySelector("button").dispatchEvent(new MouseEvent("click", { bubbles: true })));
  expect(place.textContent).toBe("alice again - false");
});

test("hooks outside of a provider say what is missing", () => {
  expect(() => renderToString(createElement(Name))).toThrow("<BffProvider>");
});
