/** Two processes with a broker of their own between them, a pair of Unix sockets: examples/c/broker.c. */
import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";

import { Clients, event, eventually } from "./support/client.js";
import { ROOT, freePort, startProgram } from "./support/process.js";

const EXAMPLES = path.resolve(process.env.EXAMPLES ?? path.join(ROOT, "target/examples"));

test("what one process says to all, the clients of the other hear, in order and with attachments", async () => {
  const other = await freePort();
  const program = await startProgram(path.join(EXAMPLES, "broker"), [], { OTHER_PORT: String(other) }, { readyPath: "/socket.io/" });
  await eventually(() => program.stdout.includes(`:${other}`));
  const clients = [program.url, `http://127.0.0.1:${other}`].map((url) => new Clients(url, { transports: ["websocket"] }));
  const sockets = clients.map((each) => each.create());
  await Promise.all(sockets.map((socket) => event(socket, "connect", { rejectOn: "connect_error" })));
  const saw = sockets.map((socket) => {
    const said = [];
    socket.on("said", (...args) => said.push(args));
    return said;
  });
  for (const [from, socket] of sockets.entries()) {
    for (let count = 0; count < 100; count += 1) socket.emit("say", count);
    socket.emit("say", Buffer.from([1, 2, from]), "\u20ac");
    await eventually(() => saw.every((said) => said.length === 101));
    for (const said of saw) {
      const [process] = said[0];
      const expected = Array.from({ length: 100 }, (_, count) => [process, count]);
      assert.deepEqual(said.splice(0), [...expected, [process, Buffer.from([1, 2, from]), "\u20ac"]]);
    }
  }
  clients.forEach((each) => each.closeAll());
  await program.stop();
});
