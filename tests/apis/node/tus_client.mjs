// Uploads 3 MB by tus-js-client in pieces. `node tus_client.mjs ENDPOINT COOKIE`; prints the upload's URL.
import { Upload } from "tus-js-client";

const [endpoint, cookie] = process.argv.slice(2);
const upload = new Upload(Buffer.alloc(3_000_000, "a"), {
  endpoint,
  headers: { Cookie: cookie, "X-CSRF": "1" },
  chunkSize: 1_000_000,
  retryDelays: null,
  onError: (error) => {
    console.error(String(error));
    process.exit(1);
  },
  onSuccess: () => console.log(upload.url),
});
upload.start();
