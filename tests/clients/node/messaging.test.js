/** Events, acknowledgements and binary between socket.io-client and the server, both ways. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { event, settled } from "./support/client.js";
import { forEachDeliveryAndTransport } from "./support/matrix.js";

const VALUES = [
  ["no argument"],
  ["numbers", 0, -1, 1.5, 1e21, 9007199254740991, -1e-7],
  ["literals", true, false, null],
  ["strings", "", "plain", 'quote " slash \\ / newline \n tab \t nul \u0000', "€ 😀 \u2028 \u2029", "\ud800"],
  ["placeholder look-alikes", { _placeholder: 1, num: 0 }, "_placeholder"],
  ["nested", { a: { b: [{ c: [[]] }, {}] } }, [], {}],
  ["keys", { "": 1, "a b": 2, "😀": 3, __proto: 4, constructor: 5 }],
  ["many", ...Array(200).keys()],
];

// Around the lengths at which WebSocket headers grow, and the ends of the buffers that servers like to use.
const BINARY_SIZES = [0, 1, 125, 126, 4095, 4096, 65535, 65536, 300_000];

forEachDeliveryAndTransport({}, (context, transport) => {
  for (const [label, ...args] of VALUES) {
    test(`an event brings its arguments back unchanged: ${label}`, async () => {
      const socket = await context.clients.connect();
      socket.emit("message", ...args);
      assert.deepEqual(await event(socket, "message-back"), args);
    });

    test(`an acknowledgement brings its arguments back unchanged: ${label}`, async () => {
      const socket = await context.clients.connect();
      const answer = await new Promise((resolve) =>
        socket.emit("message-with-ack", ...args, (...back) => resolve(back)),
      );
      assert.deepEqual(answer, args);
    });
  }

  test("what JSON cannot hold becomes what JSON.stringify makes of it", async () => {
    const socket = await context.clients.connect();
    socket.emit("message", undefined, NaN, new Date(0), { gone: undefined });
    assert.deepEqual(await event(socket, "message-back"), [null, null, "1970-01-01T00:00:00.000Z", {}]);
  });

  test("events keep their order", async () => {
    const socket = await context.clients.connect();
    const seen = [];
    socket.on("echo", (n) => seen.push(n));
    for (let n = 0; n < 500; n += 1) socket.emit("echo", n);
    await settled(socket);
    assert.deepEqual(seen, [...Array(500).keys()]);
  });

  test("text and binary events keep their common order", async () => {
    const socket = await context.clients.connect();
    const seen = [];
    socket.on("echo", (n) => seen.push(n));
    socket.on("echo-bin", (bytes) => seen.push(bytes[0]));
    for (let n = 0; n < 60; n += 1) {
      if (n % 3 === 0) socket.emit("echo-bin", Buffer.from([n]));
      else socket.emit("echo", n);
    }
    await settled(socket);
    assert.deepEqual(seen, [...Array(60).keys()]);
  });

  test("each of many acknowledgements reaches the event that asked for it", async () => {
    const socket = await context.clients.connect();
    const answers = await Promise.all([...Array(100).keys()].map((n) => socket.emitWithAck("ack", n)));
    assert.deepEqual(answers, [...Array(100).keys()]);
  });

  test("an event that nobody answers times out at the client", async () => {
    const socket = await context.clients.connect();
    await assert.rejects(socket.timeout(50).emitWithAck("nobody-listens"), /operation has timed out/);
  });

  test("the server asks and the client answers", async () => {
    const socket = await context.clients.connect();
    socket.on("question", (a, b, answer) => answer(a + b, { sum: true }));
    const answer = await new Promise((resolve) => socket.emit("ask", "question", 1, 2, (...back) => resolve(back)));
    assert.deepEqual(answer, [null, 3, { sum: true }]);
  });

  test("the server asks and the client answers with binary", async () => {
    const socket = await context.clients.connect();
    socket.on("question", (bytes, answer) => answer(Buffer.from(bytes).reverse()));
    const answer = await new Promise((resolve) => {
      socket.emit("ask", "question", Buffer.from([1, 2, 3]), (...back) => resolve(back));
    });
    assert.deepEqual(answer, [null, Buffer.from([3, 2, 1])]);
  });

  for (const size of BINARY_SIZES) {
    test(`binary of ${size} bytes goes both ways`, async () => {
      const socket = await context.clients.connect();
      const bytes = Buffer.from(Array.from({ length: size }, (_, index) => (index * 7) & 255));
      socket.emit("echo-bin", bytes);
      const [back] = await event(socket, "echo-bin");
      assert.ok(bytes.equals(back));
    });
  }

  test("the server makes binary of its own, in an event and in an acknowledgement", async () => {
    const socket = await context.clients.connect();
    const back = event(socket, "bin-back");
    const acknowledged = await socket.emitWithAck("bin", 300);
    const expected = Buffer.from(Array.from({ length: 300 }, (_, index) => index & 255));
    assert.deepEqual(acknowledged, expected);
    const list = [Buffer.from([1, 2, 3]), { deep: Buffer.from([0xff, 0]) }];
    assert.deepEqual(await back, [{ n: 300, buf: expected, list }]);
  });

  test("binary at any depth comes back where it was", async () => {
    const socket = await context.clients.connect();
    const tree = {
      a: Buffer.from("a"),
      list: [1, [Buffer.from("b"), { c: { d: Buffer.alloc(0) } }], null],
      text: "😀",
    };
    socket.emit("message", tree, Buffer.from("last"), "end");
    assert.deepEqual(await event(socket, "message-back"), [tree, Buffer.from("last"), "end"]);
    assert.deepEqual(await socket.emitWithAck("message-with-ack", tree), tree);
  });

  test("ten attachments, the most that a packet may have, come back", async () => {
    const socket = await context.clients.connect();
    const buffers = Array.from({ length: 10 }, (_, index) => Buffer.alloc(index, index));
    assert.deepEqual(await socket.emitWithAck("ack", buffers), buffers);
  });

  test("typed arrays and array buffers arrive as their bytes", async () => {
    const socket = await context.clients.connect();
    const part = new Uint8Array([9, 1, 2, 9]).subarray(1, 3);
    assert.deepEqual(await socket.emitWithAck("ack", part), Buffer.from([1, 2]));
    assert.deepEqual(await socket.emitWithAck("ack", new Uint8Array([5, 6]).buffer), Buffer.from([5, 6]));
  });

  test("a text of half a megabyte comes back", async () => {
    const socket = await context.clients.connect();
    const text = "€uro ".repeat(75_000);
    assert.equal(await socket.emitWithAck("ack", text), text);
  });

  test("event names can be any text", async () => {
    const socket = await context.clients.connect();
    for (const name of ["", 'a "b" \\', "😀", "error", "message", "1", "a,b/c", "__proto__"]) {
      const arrived = event(socket, name);
      socket.emit("io-emit", socket.id, name, "x");
      assert.deepEqual(await arrived, ["x"], name);
    }
  });

  test("events that lack what they need do no harm", async () => {
    const socket = await context.clients.connect();
    for (const name of ["join", "leave", "ask", "bin", "whoami", "cmd", "room", "room-emit", "io-emit", "ack"]) {
      socket.emit(name);
      socket.emit(name, null);
      socket.emit(name, { a: [] }, 5);
      socket.emit(name, Buffer.from([1]));
    }
    assert.equal(await socket.emitWithAck("ack", "alive"), "alive");
  });

  test(`whoami tells the transport: ${transport}`, async () => {
    const socket = await context.clients.connect();
    const { transport: name } = await socket.emitWithAck("whoami");
    assert.equal(name, transport === "polling" ? "polling" : "websocket");
  });
});
