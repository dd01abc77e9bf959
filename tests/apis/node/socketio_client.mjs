// Connects as a browser's socket.io client does. `node socketio_client.mjs ORIGIN PATH COOKIE`
// prints by what it connected, then the answer over what it has changed to.
import { io } from "socket.io-client";

const [origin, path, cookie] = process.argv.slice(2);
const socket = io(origin, { path, extraHeaders: { Cookie: cookie, Origin: origin, "X-CSRF": "1" }, reconnection: false });
console.log(socket.io.engine.transport.name);
const failed = (error) => {
  console.error(String(error));
  process.exit(1);
};
socket.on("connect_error", failed);
socket.on("connect", async () => {
  const engine = socket.io.engine;
  if (engine.transport.name === "polling") await new Promise((resolve) => engine.once("upgrade", resolve));
  console.log(await socket.emitWithAck("ask", "hello"));
  socket.close();
});
setTimeout(() => failed("no answer within 10 s"), 10_000).unref();
