// Resumable uploads by tus. `node tus_app.mjs PORT`
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const datastore = new FileStore({ directory: mkdtempSync(join(tmpdir(), "tus-")) });
new Server({ path: "/files", datastore }).listen({ host: "127.0.0.1", port: Number(process.argv[2]) });
