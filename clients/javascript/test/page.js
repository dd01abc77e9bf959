// What a page has round it, as far as the client looks: a gateway that answers, other tabs, a clock that the test moves.

import { vi } from "vitest";

/** The gateway: `session` is the user and the seconds that are left, or null; `asked` are the calls, as `METHOD PATH`. */
export class Gateway {
  asked = [];
  headers = [];
  session = null;
  answers = {};

  signIn(sub = "alice", { idle = 1800, absolute = 43200 } = {}) {
    this.session = { sub, idleEnds: Date.now() + idle * 1000, ends: Date.now() + absolute * 1000, idle };
  }

  user() {
    if (this.session && Date.now() >= Math.min(this.session.idleEnds, this.session.ends)) this.session = null;
    if (!this.session) return { authenticated: false, login_url: "/bff/login?provider=corp" };
    const left = (until) => Math.max(0, Math.round((until - Date.now()) / 1000));
    return {
      authenticated: true,
      provider: "corp",
      claims: { iss: "https://login.example", sub: this.session.sub },
      session: { idle_expires_in: left(this.session.idleEnds), absolute_expires_in: left(this.session.ends) },
      logins: {},
    };
  }

  fetch = async (input, init) => {
    const url = new URL(input.url ?? input, "https://app.example/");
    this.asked.push(`${init?.method ?? input.method ?? "GET"} ${url.origin === "https://app.example" ? "" : url.origin}${url.pathname}${url.search}`);
    this.headers.push(new Headers(init?.headers));
    const own = this.answers[url.pathname];
    if (own) return own(init);
    if (url.pathname.endsWith("/user")) {
      this.user();
      if (this.session && url.search !== "?touch=0") this.session.idleEnds = Date.now() + this.session.idle * 1000;
      return Response.json(this.user());
    }
    if (url.pathname.endsWith("/logout")) {
      this.session = null;
      return Response.json({ logout_url: "https://login.example/end" });
    }
    this.user();
    return this.session ? Response.json({ orders: [] }) : Response.json({}, { status: 401 });
  };
}

class Channel {
  static open = new Set();

  constructor(name) {
    this.name = name;
    Channel.open.add(this);
  }

  postMessage(data) {
    if (!Channel.open.has(this)) throw new DOMException("closed", "InvalidStateError");
    const others = [...Channel.open].filter((other) => other !== this && other.name === this.name);
    for (const other of others) queueMicrotask(() => other.onmessage?.({ data: structuredClone(data) }));
  }

  close() {
    Channel.open.delete(this);
  }
}

/** The globals of a page at `address`; `channels: false` for a browser without BroadcastChannel. */
export function page({ address = "https://app.example/orders?open=1#line-3", channels = true } = {}) {
  vi.useFakeTimers();
  Channel.open.clear();
  const gateway = new Gateway();
  const window = new EventTarget();
  const document = Object.assign(new EventTarget(), { baseURI: address, visibilityState: "visible" });
  const at = new URL(address);
  const location = { href: at.href, origin: at.origin, assign: vi.fn() };
  vi.stubGlobal("fetch", gateway.fetch);
  vi.stubGlobal("document", document);
  vi.stubGlobal("location", location);
  vi.stubGlobal("addEventListener", window.addEventListener.bind(window));
  vi.stubGlobal("BroadcastChannel", channels ? Channel : undefined);
  const dispatch = (type, facts = {}) => window.dispatchEvent(Object.assign(new Event(type), facts));
  return { gateway, window, document, location, dispatch };
}

/** The events that a client raises from now on, by name. */
export function heard(client) {
  const events = [];
  for (const type of ["signedin", "signedout", "expiring"]) client.on(type, (event) => events.push(event.type));
  return events;
}

/** Let what is under way come to its end, timers of up to `ms` included. */
export const pass = (ms = 200) => vi.advanceTimersByTimeAsync(ms);
