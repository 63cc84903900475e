/** Limits on what a session sends and holds, as the official client meets them: unnoticed at their defaults, and in order below. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Clients, TRANSPORTS, cmd, event, eventually, sleep } from "./support/client.js";
import { runTestbed, startTestbed } from "./support/process.js";

// `ratePolicy` by the number of its constant.
const DISCONNECT = 1;

/** A testbed with these limits, and clients that are closed with it. */
function withLimits(limits, define) {
  const context = {};
  const text = Object.entries(limits).map(([name, value]) => `${name}=${value}`);
  describe(`limits ${text.join(", ") || "by default"}`, () => {
    before(async () => {
      context.program = await startTestbed({ LIMITS: text.join() });
      context.clients = new Clients(context.program.url);
    });
    after(async () => {
      context.clients.closeAll();
      await context.program.stop();
    });
    define(context);
  });
}

withLimits({}, (context) => {
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    test(`${name}: what applications do is within them`, async () => {
      const socket = await context.clients.connect("/", { transports });
      let deep = "core";
      for (let level = 0; level < 500; level += 1) deep = level % 2 ? { deep } : [deep];
      assert.deepEqual(await socket.emitWithAck("ack", deep), deep);
      const ten = Array.from({ length: 10 }, (_, index) => Buffer.alloc(100_000 / 10, index));
      assert.equal((await socket.emitWithAck("ack", ...ten)).length, ten[0].length);
      socket.emit("n".repeat(2_000));
      for (let question = 0; question < 2_000; question += 1) socket.emit("nobody-answers", () => {});
      const names = Array.from({ length: 50 }, (_, index) => `/dyn-${index + 1}`);
      await Promise.all(names.map((nsp) => event(context.clients.create(nsp, { transports, forceNew: false }), "connect")));
      await cmd(socket, "socketsJoin", { rooms: Array.from({ length: 200 }, (_, index) => `room ${index}`) });
      assert.equal(await socket.emitWithAck("ack", "still here"), "still here");
    });
  }
});

withLimits({ namespacesMax: 3 }, (context) => {
  test("a namespace too many is a connect_error with the limit, and the others stay", async () => {
    const { clients } = context;
    const first = await clients.connect();
    // Over the same connection.
    const of = (nsp) => first.io.socket(nsp, first.io.opts);
    const second = of("/dyn-1");
    await Promise.all([event(second, "connect"), event(of("/dyn-2"), "connect")]);
    const [error] = await event(of("/dyn-3"), "connect_error");
    assert.equal(error.message, "Too many namespaces");
    assert.deepEqual(error.data, { limit: "namespacesMax", value: 3 });
    assert.equal(await first.emitWithAck("ack", "alive"), "alive");
    second.disconnect();
    await event(of("/dyn-4"), "connect");
  });
});

withLimits({ messagesPerSecond: 100, messagesBurst: 20 }, (context) => {
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    test(`${name}: a client that sends more is answered later, all and in order, and another at once`, async () => {
      const [fast, other] = await Promise.all([0, 1].map(() => context.clients.connect("/", { transports })));
      await sleep(300);
      const order = [];
      const started = Date.now();
      const answers = Array.from({ length: 120 }, (_, n) => fast.emitWithAck("ack", n).then((back) => order.push(back)));
      assert.equal(await other.emitWithAck("ack", "me"), "me");
      assert.ok(order.length < 120, "the other client had to wait");
      await Promise.all(answers);
      assert.ok(Date.now() - started >= 900, "the rate was not held");
      assert.deepEqual(order, [...order.keys()]);
    });
  }
});

withLimits({ messagesPerSecond: 20, messagesBurst: 20, ratePolicy: DISCONNECT }, (context) => {
  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    test(`${name}: a client that sends more is disconnected, and may come back`, async () => {
      const socket = await context.clients.connect("/", { transports });
      const other = await context.clients.connect("/", { transports });
      const gone = event(socket, "disconnect");
      for (let n = 0; n < 60; n += 1) socket.emit("nothing");
      await gone;
      assert.equal(await other.emitWithAck("ack", "alive"), "alive");
      socket.connect();
      await event(socket, "connect");
      await eventually(async () => (await socket.emitWithAck("ack", 1)) === 1);
    });
  }
});

test("a testbed with limits that do not exist does not start", async () => {
  for (const LIMITS of ["roomsMax", "roomsMax=", "rooms=1", "roomsMax=1x", "roomsMax=0x1"]) {
    assert.equal((await runTestbed({ LIMITS })).code, 2, LIMITS);
  }
});
