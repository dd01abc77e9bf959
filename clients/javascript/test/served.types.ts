// The file that the gateway serves, imported by its address: docs/how-to/client.md has the declaration in served.d.ts.

import { bff, GatewayError, type User } from "/bff/client.js";
import { createClient } from "https://app.example.com/bff/client.js";

const user: User = await bff.user();
// @ts-expect-error: there is no such event
bff.on("signed-out", () => {});
const other: typeof bff = createClient({ basePath: "/auth" });
const status = (error: unknown): number | undefined => (error instanceof GatewayError ? error.status : undefined);
export { other, status, user };
