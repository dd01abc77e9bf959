// The demo's single-page app. It knows three addresses of its own origin, and no token:
//   /bff/...   the gateway's own endpoints     /api/...   forwarded with your access token     /rates   with the gateway's
// The gateway's client makes the calls: bff.user(), bff.fetch(), bff.signIn(), bff.signOut(), and events from all tabs.

import { bff } from "/bff/client.js";

const WATCH_EVERY_MS = 3000;

const $ = (id) => document.getElementById(id);
let events = null;
let watching = null;
let ticking = null;
const token = { id: null, expiresAt: null, lifetime: 60, refreshes: 0 };

// --- who is signed in -------------------------------------------------------------------------------------------------

async function showUser() {
  try {
    showSignedIn(await bff.user());
  } catch (error) {
    $("who").textContent = `The gateway does not answer (${error.status ?? "no connection"})`;
  }
}

function showSignedIn(user) {
  const signedIn = user.authenticated;
  document.body.dataset.signedIn = String(signedIn);
  $("login").hidden = signedIn;
  $("logout").hidden = !signedIn;
  $("who").textContent = signedIn ? `Signed in as ${user.claims.name ?? user.claims.sub}` : "No user is signed in";
  $("your-sessions").hidden = !signedIn;
  if (signedIn) {
    startWatch();
    showSessions();
  } else {
    endWatch();
  }
}

// --- the user's sessions ----------------------------------------------------------------------------------------------

async function showSessions() {
  const response = await bff.fetch("/bff/sessions"); // a 401 is the event `signedout`
  if (!response.ok) return;
  const { sessions } = await response.json();
  $("sessions").replaceChildren(...sessions.map(sessionLine));
  $("end-others").hidden = sessions.length < 2;
}

function sessionLine(session) {
  const line = document.createElement("li");
  const what = document.createElement("span");
  const used = new Date(session.last_used_at * 1000).toLocaleTimeString();
  what.textContent = `${session.current ? "This browser" : browserOf(session.user_agent)}, last used at ${used}`;
  const end = document.createElement("button");
  end.type = "button";
  end.className = "button quiet";
  end.textContent = "End";
  end.setAttribute("aria-label", `End: ${what.textContent}`);
  end.addEventListener("click", () => endSessions(`/bff/sessions/${session.id}`));
  line.append(what, end);
  return line;
}

function browserOf(userAgent) {
  return /Firefox|Edg|Chrome|Safari/.exec(userAgent ?? "")?.[0] ?? "Another browser";
}

async function endSessions(address) {
  await bff.fetch(address, { method: "DELETE" });
  await showUser(); // if the current one has ended, all tabs are told
}

// --- calls ------------------------------------------------------------------------------------------------------------

// A request's fields are pairs; a line for each reads better.
function readable(key, value) {
  return key === "fields" ? value.map(([name, text]) => `${name}: ${text}`) : value;
}

async function show(place, request) {
  place.textContent = "...";
  try {
    const response = await request;
    const json = (response.headers.get("content-type") ?? "").includes("json");
    const body = json ? await response.json() : null;
    place.dataset.status = String(response.status);
    place.textContent = `${response.status}\n${JSON.stringify(body, readable, 2)}`;
    return body;
  } catch (error) {
    place.dataset.status = "none";
    place.textContent = `no answer (${error.message})`;
  }
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
    const response = await bff.fetch("/api/watch");
    if (response.ok) noteToken((await response.json()).claims);
  } catch {
    // no connection: the countdown goes on, the next look may succeed
  }
}

function startWatch() {
  if (watching !== null) return;
  watching = setInterval(watchToken, WATCH_EVERY_MS);
  ticking = setInterval(showCountdown, 250);
  watchToken();
}

function endWatch() {
  clearInterval(watching);
  clearInterval(ticking);
  watching = null;
  token.expiresAt = null;
  $("countdown").textContent = "-";
  $("life").value = 0;
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
  if (events === null) return;
  events.close();
  events = null;
  $("listen").setAttribute("aria-pressed", "false");
  $("listen").textContent = "Listen to /api/events";
  addEvent(why);
}

// --- the page ---------------------------------------------------------------------------------------------------------

$("login").addEventListener("click", () => bff.signIn());
$("logout").addEventListener("click", () => bff.signOut());
$("call-api").addEventListener("click", async () => {
  noteToken((await show($("api-result"), bff.fetch("/api/orders?from=page")))?.claims);
  showVisible();
});
$("no-csrf").addEventListener("click", () => show($("no-csrf-result"), fetch("/api/orders"))); // as another site would: no header
$("call-rates").addEventListener("click", () => show($("rates-result"), bff.fetch("/rates")));
$("listen").addEventListener("click", toggleEvents);
$("end-others").addEventListener("click", () => endSessions("/bff/sessions"));

bff.on("signedin", showUser); // in any tab
bff.on("signedout", () => {
  stopEvents("signed out");
  showSignedIn({ authenticated: false });
});

// The provider brings the browser back with a `state` that this page does not need.
if (new URLSearchParams(location.search).has("state")) history.replaceState(null, "", location.pathname);

showVisible();
await showUser();
