import react from "@vitejs/plugin-react";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const clients = fileURLToPath(new URL("../../../clients", import.meta.url)); // what npm packs of them is these files

export default defineConfig({
  plugins: [react()],
  resolve: {
    alias: { "@bff-gateway/client": `${clients}/javascript/client.js`, "@bff-gateway/react": `${clients}/react/index.js` },
    dedupe: ["react"],
  },
  server: { fs: { allow: [".", clients] } },
});
