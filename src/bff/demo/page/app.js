// The demo's single-page app. It knows three addresses of its own origin, and no token:
//   /bff/...   the gateway's own endpoints     /api/...   forwarded with your access token     /rates   with the gateway's
// Every call carries the header X-CSRF: 1. Another site's page cannot add it, so the gateway refuses calls without it.

const CSRF = { "X-CSRF": "1" };
const WATCH_EVERY_MS = 3000;

const $ = (id) => document.getElementById(id);
let events = null;
const token = { id: null, expiresAt: null, lifetime: 60, refreshes: 0 };

// --- calls ----------------------------------------------------------------------------------------------------------

async function call(path, { method = "GET", headers = CSRF } = {}) {
  const response = await fetch(path, { method, headers, redirect: "manual" });
  const json = (response.headers.get("content-type") ?? "").includes("json");
  return { status: response.status, body: json ? await response.json() : null };
}

// A request's fields are pairs; a line for each reads better.
function readable(key, value) {
  return key === "fields" ? value.map(([name, text]) => `${name}: ${text}`) : value;
}

async function show(place, request) {
  place.textContent = "...";
  try {
    const { status, body } = await request;
    place.dataset.status = String(status);
    place.textContent = `${status}\n${JSON.stringify(body, readable, 2)}`;
    return { status, body };
  } catch (error) {
    place.dataset.status = "none";
    place.textContent = `no answer (${error.message})`;
    return { status: 0, body: null };
  }
}

// --- who is signed in -------------------------------------------------------------------------------------------------

async function showUser() {
  const { status, body } = await call("/bff/user").catch(() => ({ status: 0, body: null }));
  const signedIn = status === 200 && body.authenticated === true;
  document.body.dataset.signedIn = String(signedIn);
  $("login").hidden = signedIn || status !== 200;
  $("logout").hidden = !signedIn;
  if (status !== 200) {
    $("who").textContent = `The gateway does not answer (${status || "no connection"})`;
  } else if (signedIn) {
    $("who").textContent = `Signed in as ${body.claims.name ?? body.claims.sub}`;
  } else {
    $("who").textContent = "Nobody is signed in";
    $("login").href = withReturn(body.login_url ?? "/bff/login");
  }
  return signedIn;
}

function withReturn(loginUrl) {
  const url = new URL(loginUrl, location.origin);
  if (!url.searchParams.has("return_to")) url.searchParams.set("return_to", "/");
  return url.pathname + url.search;
}

async function signOut() {
  if (events !== null) stopEvents("signing out");
  const { status, body } = await call("/bff/logout", { method: "POST" });
  if (status === 200) location.assign(body?.logout_url ?? "/");
}

// --- what a script can see --------------------------------------------------------------------------------------------

function showVisible() {
  const stored = (storage) => Object.keys(storage).join(", ") || "empty";
  $("visible-cookies").textContent = document.cookie || "empty";
  $("visible-local").textContent = stored(localStorage);
  $("visible-session").textContent = stored(sessionStorage);
}

// --- the life of the access token, as the API reads it ----------------------------------------------------------------

function noteToken(claims) {
  if (!claims?.exp) return;
  if (token.id !== null && token.id !== claims.jti) token.refreshes += 1;
  token.id = claims.jti;
  token.expiresAt = claims.exp;
  token.lifetime = Math.max(1, claims.exp - claims.iat);
  $("refreshes").textContent = String(token.refreshes);
  showCountdown();
}

function showCountdown() {
  if (token.expiresAt === null) return;
  const left = Math.max(0, token.expiresAt - Date.now() / 1000);
  $("countdown").textContent = `${Math.ceil(left)} s`;
  $("life").max = token.lifetime;
  $("life").value = left;
}

async function watchToken() {
  try {
    const { status, body } = await call("/api/watch");
    if (status === 200) noteToken(body.claims);
    if (status === 401) await endWatch();
  } catch {
    // no connection: the countdown goes on, the next look may succeed
  }
}

let watching = null;
let ticking = null;

async function endWatch() {
  clearInterval(watching);
  clearInterval(ticking);
  token.expiresAt = null;
  $("countdown").textContent = "-";
  $("life").value = 0;
  await showUser();
}

async function startWatch() {
  watching = setInterval(watchToken, WATCH_EVERY_MS);
  ticking = setInterval(showCountdown, 250);
  await watchToken();
}

// --- a stream ---------------------------------------------------------------------------------------------------------

function toggleEvents() {
  if (events !== null) return stopEvents("stopped");
  events = new EventSource("/api/events");
  $("listen").setAttribute("aria-pressed", "true");
  $("listen").textContent = "Stop listening";
  $("events-result").textContent = "";
  events.addEventListener("tick", (event) => addEvent(event.data));
  events.onerror = () => stopEvents("the stream ended");
}

function addEvent(text) {
  const lines = $("events-result").textContent.split("\n").filter(Boolean).slice(-5);
  $("events-result").textContent = [...lines, text].join("\n");
}

function stopEvents(why) {
  events.close();
  events = null;
  $("listen").setAttribute("aria-pressed", "false");
  $("listen").textContent = "Listen to /api/events";
  addEvent(why);
}

// --- the page ---------------------------------------------------------------------------------------------------------

$("call-api").addEventListener("click", async () => {
  const { status, body } = await show($("api-result"), call("/api/orders?from=page"));
  if (status === 200) noteToken(body.claims);
  showVisible();
});
$("no-csrf").addEventListener("click", () => show($("no-csrf-result"), call("/api/orders", { headers: {} })));
$("call-rates").addEventListener("click", () => show($("rates-result"), call("/rates")));
$("listen").addEventListener("click", toggleEvents);
$("logout").addEventListener("click", signOut);

// The provider brings the browser back with a `state` that nobody here needs.
if (new URLSearchParams(location.search).has("state")) history.replaceState(null, "", location.pathname);

showVisible();
if (await showUser()) await startWatch();
