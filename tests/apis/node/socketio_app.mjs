// A socket.io server: long polling first, then a WebSocket. `node socketio_app.mjs PORT`
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
new Server(http).on("connection", (socket) => {
  socket.on("ask", (text, answer) => answer(`${socket.conn.transport.name}:${text}`));
});
http.listen(Number(process.argv[2]), "127.0.0.1");
