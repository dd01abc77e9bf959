import { bff } from "/bff/client.js";

const answer = document.getElementById("answer");
const sign = document.getElementById("sign");

const user = await bff.user();
sign.textContent = user.authenticated ? "Sign out" : "Sign in";
sign.onclick = () => (user.authenticated ? bff.signOut() : bff.signIn());
answer.textContent = user.authenticated ? JSON.stringify(await (await bff.fetch("/api/whoami")).json()) : "You are not signed in.";
