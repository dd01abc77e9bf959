// Node's own server: node node.mjs PORT LOG. One line of JSON for each request that it reads; the last part of a target says what it does.
import { createServer } from "node:http";
import { appendFileSync } from "node:fs";

const [port, log] = process.argv.slice(2);
const note = (line) => appendFileSync(log, JSON.stringify(line) + "\n");

const answer = (request, response, kind) => {
  const own = `${(request.headers.authorization ?? "").replace(/^Bearer /, "")} ${request.url}`;
  response.setHeader("X-Owner", own);
  if (kind === "close" || kind === "earlyclose") response.setHeader("Connection", "close");
  if (kind === "hints") response.writeEarlyHints({ link: "</x>; rel=preload" });
  if (kind === "nocontent" || kind === "notmodified") return response.writeHead(kind === "nocontent" ? 204 : 304).end();
  if (kind !== "chunked") response.setHeader("Content-Length", own.length);
  response.write(own.slice(0, 3));
  return response.end(own.slice(3));
};

const read = (request, response) => {
  const kind = request.url.split("/").pop();
  const line = { method: request.method, target: request.url, authorization: request.headers.authorization ?? "", content: "" };
  if (kind.startsWith("early")) {
    note(line);
    return answer(request, response, kind);
  }
  request.on("data", (data) => { line.content += data.toString("latin1"); });
  return request.on("end", () => { note(line); answer(request, response, kind); });
};

const server = createServer(read);
server.on("upgrade", (request, socket) => {
  note({ method: request.method, target: request.url, authorization: request.headers.authorization ?? "", content: "" });
  socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
});
server.on("clientError", (error, socket) => {
  if (error.code?.startsWith("HPE_") && error.code !== "HPE_INVALID_EOF_STATE") note({ malformed: error.code });
  socket.destroy();
});
server.listen(Number(port), "127.0.0.1");
