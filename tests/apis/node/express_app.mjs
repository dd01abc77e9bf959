// An Express app: redirects of its kinds, an ETag by itself. `node express_app.mjs PORT`
import express from "express";
import { mkdtempSync, mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const app = express();
app.set("trust proxy", "loopback");

const folder = mkdtempSync(join(tmpdir(), "express-"));
mkdirSync(join(folder, "docs"));
writeFileSync(join(folder, "docs", "index.html"), "docs");

app.get("/login", (request, response) => response.redirect("/home"));
app.get("/absolute", (request, response) => response.redirect(`http://${request.get("host")}/home?a=1`));
app.get("/elsewhere", (request, response) => response.redirect("https://other.example/home"));
app.get("/up", (request, response) => response.redirect("../home"));
app.get("/home", (request, response) => response.json({ prefix: request.get("x-forwarded-prefix"), secure: request.secure }));
app.post("/things", (request, response) => response.status(201).location("/things/7").json({ id: 7 }));
app.get("/same", (request, response) => response.json({ same: true }));
app.use("/static", express.static(folder)); // /static/docs -> /static/docs/

app.listen(Number(process.argv[2]), "127.0.0.1");
