// Receives callbacks, and says of each whether the library standardwebhooks takes its signature for right. Its secret is
// in HOOK_SECRET, its first argument the folder of the library.
import http from "node:http";
import { createRequire } from "node:module";

const { Webhook } = createRequire(process.argv[2] + "/")("standardwebhooks");
const webhook = new Webhook(process.env.HOOK_SECRET);

const server = http.createServer((request, response) => {
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const body = Buffer.concat(parts).toString();
    let verdict = "verified";
    try {
      webhook.verify(body, request.headers);
    } catch (error) {
      verdict = `refused: ${error.message}`;
    }
    response.statusCode = verdict === "verified" ? 204 : 401;
    response.end();
    console.log(`${verdict} ${JSON.stringify({ headers: request.headers, body: JSON.parse(body) })}`);
  });
});
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
