// A mutant server: passes everything to a real one and breaks one thing of its answers.
//
//   node tests/conformance/mutants/proxy.mjs URL MUTANT [PORT]     (without MUTANT: the list)
//
// Prints `mutant: listening on http://127.0.0.1:PORT` when it is ready.
import net from "node:net";
import { Rewriter } from "../lib/rewrite.mjs";
import { mutants } from "./all.mjs";

// The checks send all of a connection's requests at once, so what has come first says what is asked.
function carry(client, upstream, mutant) {
  const server = net.connect({ ...upstream, noDelay: true });
  let sent = Buffer.alloc(0);
  let rewriter;
  client.on("data", (bytes) => {
    sent = Buffer.concat([sent, bytes]);
    server.write(bytes);
  });
  server.on("data", (bytes) => {
    rewriter ??= new Rewriter(sent, mutant);
    for (const piece of rewriter.push(bytes)) client.write(piece);
  });
  server.on("end", () => {
    if (rewriter) for (const piece of rewriter.end()) client.write(piece);
    client.end();
  });
  for (const [one, other] of [[client, server], [server, client]]) {
    one.on("error", () => other.destroy());
    one.on("close", () => one === client && server.destroy());
  }
}

const [url, name, port] = process.argv.slice(2);
if (!url || (name && !mutants[name])) {
  console.error(name ? `no mutant ${name}` : "usage: proxy.mjs URL MUTANT [PORT]");
  process.exit(2);
}
if (!name) {
  console.log(Object.keys(mutants).join("\n"));
} else {
  const { hostname: host, port: target } = new URL(url);
  const server = net.createServer((client) => carry(client, { host, port: Number(target) }, mutants[name]));
  server.listen(Number(port ?? 0), "127.0.0.1", () => console.log(`mutant: listening on http://127.0.0.1:${server.address().port}`));
}
