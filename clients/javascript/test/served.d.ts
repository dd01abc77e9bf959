declare module "*/bff/client.js" {
  export * from "@bff-gateway/client";
}
