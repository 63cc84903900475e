/** socket.io-client 3, which speaks the same protocols as 4: what programs do with it, without what came later (`timeout`, `emitWithAck`). */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

import { event, upgraded } from "./support/client.js";
import { forEachDeliveryAndTransport } from "./support/matrix.js";

const io = createRequire(import.meta.url)("socket.io-client-v3");

/** Emits and waits for the acknowledgement; its arguments. */
const ask = (socket, ...args) => new Promise((resolve) => socket.emit(...args, (...answer) => resolve(answer)));

forEachDeliveryAndTransport({}, (context, transport) => {
  /** A client of a namespace that is connected, and has upgraded if it is to. */
  async function connect(t, nsp = "/", options = {}) {
    const { transports } = context.clients.options;
    const socket = io(context.testbed.url + nsp, { forceNew: true, reconnection: false, transports, ...options });
    t.after(() => socket.close());
    await event(socket, "connect", { rejectOn: "connect_error" });
    if (transport === "upgrade") await upgraded(socket);
    return socket;
  }

  test("events, binary and acknowledgements go both ways", async (t) => {
    const socket = await connect(t);
    const args = [1, "zwölf", null, { deep: [true, { bytes: Buffer.from([1, 2, 3]) }] }, []];
    socket.emit("message", ...args);
    assert.deepEqual(await event(socket, "message-back"), args);
    assert.deepEqual(await ask(socket, "message-with-ack", ...args), args);
    socket.on("question", (a, b, answer) => answer(a + b, Buffer.from([a, b])));
    assert.deepEqual(await ask(socket, "ask", "question", 3, 4), [null, 7, Buffer.from([3, 4])]);
  });

  test("it knows its session: transport, protocol, query and auth", async (t) => {
    const socket = await connect(t, "/", { query: { room: "blue" }, auth: { data: { name: "ada" } } });
    const [me] = await ask(socket, "whoami");
    assert.deepEqual([me.id, me.protocol, me.query.room], [socket.id, 4, "blue"]);
    assert.equal(me.transport, transport === "polling" ? "polling" : "websocket");
  });

  test("namespaces share a connection, rooms stay apart, and one that is refused says why", async (t) => {
    const [a, b] = [await connect(t, "/custom"), await connect(t, "/dyn-101")];
    await ask(a, "join", "blue");
    const other = await connect(t, "/custom");
    const heard = event(a, "news");
    other.onAny((name) => name === "news" && assert.fail("it is not in the room"));
    b.emit("io-emit", "blue", "news", "of another namespace");
    other.emit("room-emit", "blue", "news", "for the room");
    assert.deepEqual(await heard, ["for the room"]);
    const denied = io(`${context.testbed.url}/deny`, { forceNew: true, reconnection: false });
    t.after(() => denied.close());
    const [error] = await event(denied, "connect_error");
    assert.deepEqual([error.message, error.data], ["denied", { code: 4001 }]);
  });

  test("both sides hear why it leaves", async (t) => {
    const kicked = await connect(t);
    const gone = event(kicked, "disconnect");
    kicked.emit("leave-nsp");
    assert.deepEqual(await gone, ["io server disconnect"]);
    const leaving = await connect(t);
    const left = event(leaving, "disconnect");
    leaving.disconnect();
    assert.deepEqual(await left, ["io client disconnect"]);
  });
});
