// The browser's side of the gateway: who is signed in, calls, sign-in, sign-out, and what other tabs do. No token, no dependency.
//
// The gateway knows whether there is a session; this file only remembers its last answer. So before anything is said because of a
// clock or a 401, the gateway is asked once more (`/user?touch=0`, which does not extend the session). Nothing is asked on a timer
// but at the two moments that the session itself names: a minute before it ends, and when it has ended.
//
// Tabs of one origin and base path tell each other over a BroadcastChannel; without one each is alone.

const BASE_PATH = "/bff"; // the gateway writes its own `base_path` here when it serves this file
const ORIGIN = ""; // of the gateway: it writes its own here for a page of another of the site's origins; "": the page's
const WARN_MS = 60_000;
const LONGEST_TIMER_MS = 3_600_000; // setTimeout counts in 32 bits: more than 24.8 days would run at once
const SHORTEST_TIMER_MS = 1_000;
const ANSWER_MS = 150; // for other tabs to say that they know a session
const LONGEST_RETURN = 2000; // characters that the gateway takes whole
const EVENTS = ["signedin", "signedout", "expiring"];

/** The gateway answered with a status that this call does not expect; `response` is what it said. */
export class GatewayError extends Error {
  constructor(response) {
    super(`the gateway answers ${response.status}`);
    this.name = "GatewayError";
    this.status = response.status;
    this.response = response;
  }
}

/** A client of the gateway at `basePath` of `origin`. One is enough for a page: `bff`. */
export function createClient({ basePath = BASE_PATH, origin = ORIGIN } = {}) {
  const base = origin + basePath;
  const home = () => origin || location.origin;
  const credentials = origin ? "include" : "same-origin";
  const page = globalThis.document; // a worker has none, and may call APIs too
  const listeners = Object.fromEntries(EVENTS.map((type) => [type, new Set()]));
  let known; // undefined: not asked yet; null: signed out; else `issuer|subject` of who is signed in
  let ends; // of the session, by `now()`
  let warned = false;
  let timer;
  let channel;
  let started = false;
  let answered; // by another tab, to the question below
  let asking = 0; // calls of `ask` under way
  let checking; // a question to the gateway that callers share
  let leaving; // a sign-out that has begun: a second click leads where the first does
  let turns = 0; // sign-ins and sign-outs so far: an answer that one overtook is asked for again

  // Wall clocks jump, monotonic ones stand still while a machine sleeps: what has passed is the longer of the two. Too long is
  // harmless, because the gateway is asked before anything is said.
  const wallStart = Date.now();
  const monotonicStart = performance.now();
  const now = () => Math.max(Date.now() - wallStart, performance.now() - monotonicStart);

  function emit(type, detail = {}) {
    for (const listener of [...listeners[type]]) {
      try {
        listener({ type, ...detail });
      } catch (error) {
        setTimeout(() => { throw error; }); // reported, and nothing is kept from the others
      }
    }
  }

  // --- other tabs -----------------------------------------------------------------------------------------------------

  function open() {
    try {
      channel ??= new BroadcastChannel(`bff:${base}`);
      channel.onmessage = ({ data }) => heard(data ?? {});
    } catch {
      channel = undefined;
    }
  }

  const tell = (message) => channel?.postMessage(message);

  function heard({ type, who, seconds }) {
    if (type === "known?" && known === who) tell({ type: "known", who });
    if (type === "known" && known === who) answered?.();
    if (type === "signedin" && known !== who) {
      if (known !== undefined || !asking) {
        note(who, seconds);
        emit("signedin");
      } else turns += 1; // its own first answer says so
    }
    if (type === "signedout" && known !== null) leave();
  }

  function start() {
    if (started) return;
    started = true;
    open();
    addEventListener("pagehide", () => {
      channel?.close(); // an open channel may keep the page out of the back/forward cache
      channel = undefined;
      clearTimeout(timer);
    });
    addEventListener("pageshow", (event) => {
      if (!event.persisted) return;
      open();
      leaving = undefined;
      if (known !== undefined) check(); // what happened meanwhile was not heard, such as a sign-out
    });
    page?.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") look(); // timers of hidden tabs run late
    });
    addEventListener("online", look);
  }

  // --- what is known ---------------------------------------------------------------------------------------------------

  function note(who, seconds) {
    if (known !== who) turns += 1;
    if (who) leaving = undefined;
    known = who;
    ends = seconds === undefined ? undefined : now() + seconds * 1000;
    warned &&= seconds * 1000 <= WARN_MS;
    arm();
  }

  function leave() {
    note(null);
    emit("signedout");
  }

  function arm() {
    clearTimeout(timer);
    if (!known || ends === undefined) return;
    const wait = ends - now() - (warned ? -SHORTEST_TIMER_MS : WARN_MS);
    timer = setTimeout(look, Math.min(Math.max(wait, SHORTEST_TIMER_MS), LONGEST_TIMER_MS));
  }

  function look() {
    if (!known || ends === undefined) return;
    const left = ends - now();
    if (left > (warned ? 0 : WARN_MS)) arm();
    else check();
  }

  // Ask the gateway what holds now, and say what follows from it.
  function check() {
    checking ??= ask("?touch=0")
      .then(learn)
      .catch(() => undefined) // no answer is no sign-out: the next look, 401 or sight of the page asks again
      .finally(() => { checking = undefined; });
    return checking.then((user) => {
      if (user === undefined && known && ends !== undefined && ends > now()) warn(ends - now());
      return user;
    });
  }

  function warn(left) {
    if (warned || left > WARN_MS) return;
    warned = true;
    arm();
    emit("expiring", { expiresIn: Math.max(0, Math.round(left / 1000)) });
  }

  async function ask(query) {
    const before = turns;
    asking += 1;
    try {
      const response = await fetch(`${base}/user${query}`, { headers: { "X-CSRF": "1" }, cache: "no-store", credentials });
      if (!response.ok) throw new GatewayError(response);
      const user = await response.json();
      return turns === before ? user : await ask(query);
    } finally {
      asking -= 1;
    }
  }

  function learn(user) {
    const before = known;
    if (!user.authenticated) {
      if (!before) note(null);
      else sayLeft();
      return user;
    }
    const who = `${user.claims.iss ?? user.provider}|${user.claims.sub ?? ""}`;
    const seconds = Math.min(user.session.idle_expires_in, user.session.absolute_expires_in);
    note(who, seconds);
    if (before === undefined) introduce(who, seconds, user);
    else if (before !== who) sayEntered(who, seconds, user);
    warn(seconds * 1000);
    return user;
  }

  function sayLeft() {
    tell({ type: "signedout" });
    leave();
  }

  function sayEntered(who, seconds, user) {
    tell({ type: "signedin", who, seconds }); // no claims: the other tab asks the gateway if it wants them
    emit("signedin", { user });
  }

  // A page that has just been loaded: `signedin` is for a session that no tab knew. Ask them, and wait a moment for one that does.
  async function introduce(who, seconds, user) {
    const anotherKnows = new Promise((resolve) => {
      answered = () => resolve(true);
      setTimeout(resolve, channel ? ANSWER_MS : 0, false);
    });
    tell({ type: "known?", who });
    if (!(await anotherKnows) && known === who) sayEntered(who, seconds, user);
  }

  // --- what a page calls ------------------------------------------------------------------------------------------------

  /** Who is signed in, as `GET /user` says; `touch: false` does not extend the session. */
  async function user({ touch = true } = {}) {
    start();
    return learn(await ask(touch ? "" : "?touch=0"));
  }

  /** `fetch` with the header that the gateway wants, for its origin only. A 401 is an event and the answer, never a navigation. */
  async function call(input, init) {
    start();
    const request = input instanceof Request ? input : undefined;
    if (new URL(request?.url ?? input, page?.baseURI ?? location.href).origin !== home()) return fetch(input, init);
    const headers = new Headers(init?.headers ?? request?.headers);
    headers.set("X-CSRF", "1");
    const { referrer, referrerPolicy } = request ?? {}; // any second argument makes `fetch` forget these two
    const response = await fetch(input, { referrer, referrerPolicy, ...(origin && { credentials }), ...init, headers });
    if (response.status === 401) await refused();
    return response;
  }

  // An API may say 401 for a reason of its own, and another provider's sign-in may be missing: the gateway knows.
  async function refused() {
    const isFirst = !checking && !known; // of several calls; where a user was known, `learn` says that they left
    const user = await check();
    if (isFirst && user?.authenticated === false) sayLeft();
  }

  /** Leave for the sign-in, and come back to `returnTo`, fragment and all: here if it is left out, `/` for a gateway elsewhere. */
  function signIn({ provider, returnTo, params = {} } = {}) {
    const back = new URL(returnTo ?? (origin ? "/" : location.href), origin || page.baseURI);
    if (back.origin !== home()) throw new TypeError("returnTo must be an address of the gateway's origin");
    const query = new URLSearchParams(params);
    if (provider !== undefined) query.set("provider", provider);
    const whole = back.pathname + back.search + back.hash;
    query.set("return_to", whole.length > LONGEST_RETURN ? back.pathname : whole);
    location.assign(`${base}/login?${query}`);
  }

  /** End the session, tell every tab, and leave for the provider's sign-out. */
  function signOut() {
    start();
    leaving ??= end().catch((error) => {
      leaving = undefined;
      throw error;
    });
    return leaving;
  }

  async function end() {
    const response = await fetch(`${base}/logout`, { method: "POST", headers: { "X-CSRF": "1" }, credentials });
    if (!response.ok) throw new GatewayError(response);
    const { logout_url: url } = await response.json();
    sayLeft();
    location.assign(String(new URL(url, home())));
  }

  /** Call `listener` at each event of this type; returns what ends that. */
  function on(type, listener) {
    if (!EVENTS.includes(type)) throw new TypeError(`there is no event ${type}: ${EVENTS.join(", ")}`);
    start();
    const entry = (event) => listener(event);
    listeners[type].add(entry);
    return () => { listeners[type].delete(entry); };
  }

  return { user, fetch: call, signIn, signOut, on };
}

export const bff = createClient();
