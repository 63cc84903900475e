/** Connections that come, last, break and come back, and the limits on what they carry. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { cmd, event, eventually, sleep, TRANSPORTS } from "./support/client.js";
import { forEachDelivery, forEachDeliveryAndTransport } from "./support/matrix.js";

// Quick enough for tests, slow enough for a loaded machine.
const RECONNECT = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 100, randomizationFactor: 0 };
const LIMIT_BYTES = 100_000;

const SHORT = { PING_INTERVAL: "150", PING_TIMEOUT: "20000", MAX_HTTP_BUFFER_SIZE: String(LIMIT_BYTES) };

forEachDeliveryAndTransport(SHORT, (context, transport) => {
  test("an idle client lives on its heartbeat", async () => {
    const socket = await context.clients.connect();
    let pings = 0;
    socket.io.on("ping", () => (pings += 1));
    await eventually(() => pings >= 3);
    assert.equal(await socket.emitWithAck("ack", "alive"), "alive");
  });

  test("a client whose transport is dropped comes back under a new id", async () => {
    const socket = await context.clients.connect("/", RECONNECT);
    const id = socket.id;
    const gone = event(socket, "disconnect");
    const back = event(socket, "connect");
    socket.emit("drop");
    assert.equal((await gone)[0], "transport close");
    await back;
    assert.notEqual(socket.id, id);
    assert.equal(await socket.emitWithAck("ack", "alive"), "alive");
    await eventually(async () => !(await cmd(socket, "rooms")).includes(id));
  });

  test("a client that the server disconnects does not come back by itself", async () => {
    const socket = await context.clients.connect("/", RECONNECT);
    const gone = event(socket, "disconnect");
    socket.emit("kick");
    assert.equal((await gone)[0], "io server disconnect");
    await sleep(150);
    assert.equal(socket.active, false);
    socket.connect();
    await event(socket, "connect");
  });

  test("what the client sends while it is away arrives when it is back", async () => {
    const socket = await context.clients.connect("/", RECONNECT);
    const gone = event(socket, "disconnect");
    socket.emit("drop");
    await gone;
    const arrived = event(socket, "message-back");
    socket.emit("message", "buffered");
    assert.deepEqual(await arrived, ["buffered"]);
  });

  test("a client that disconnects leaves nothing behind", async () => {
    const [leaver, witness] = [await context.clients.connect(), await context.clients.connect()];
    await leaver.emitWithAck("join", "red");
    const { id } = leaver;
    leaver.disconnect();
    await eventually(async () => {
      const rooms = await cmd(witness, "rooms");
      return !rooms.includes(id) && !rooms.includes("red");
    });
  });

  test("a message just under the limit passes, one over it ends the connection", async () => {
    const socket = await context.clients.connect();
    const witness = await context.clients.connect("/custom");
    const largest = "x".repeat(LIMIT_BYTES - 100);
    assert.equal(await socket.emitWithAck("ack", largest), largest);
    const gone = event(socket, "disconnect");
    socket.emit("echo", "x".repeat(LIMIT_BYTES));
    assert.equal((await gone)[0], transport === "polling" ? "transport error" : "transport close");
    assert.equal(await witness.emitWithAck("ack", "alive"), "alive");
  });

  test("binary just under the limit passes, over it ends the connection", async () => {
    const socket = await context.clients.connect();
    // Polling carries it as base64 text, four characters for three bytes.
    const largest = Buffer.alloc(Math.floor((LIMIT_BYTES - 200) * (transport === "polling" ? 0.75 : 1)), 7);
    assert.ok(largest.equals(await socket.emitWithAck("ack", largest)));
    const gone = event(socket, "disconnect");
    socket.emit("echo-bin", Buffer.alloc(LIMIT_BYTES + 1));
    await gone;
  });

  test("many small events at once exceed no limit", async () => {
    const socket = await context.clients.connect();
    const text = "x".repeat(1000);
    const answers = await Promise.all([...Array(300).keys()].map((n) => socket.emitWithAck("ack", n, text)));
    assert.equal(answers.length, 300);
  });
});

forEachDelivery({}, (context) => {
  test("a question that the client never answers times out", async () => {
    const socket = await context.clients.connect();
    const answer = await new Promise((resolve) => socket.emit("ask", "nobody-listens", (...back) => resolve(back)));
    assert.deepEqual(answer, ["timeout"]);
  });

  test("a volatile event reaches a client that can take it", async () => {
    const socket = await context.clients.connect("/", { transports: TRANSPORTS.websocket });
    let seen = 0;
    socket.on("state", () => (seen += 1));
    await eventually(async () => {
      await cmd(socket, "emit", { flags: { volatile: true }, event: "state" });
      return seen > 0;
    });
  });

  test("a hundred clients on all transports hear one broadcast once each", async () => {
    const ways = Object.values(TRANSPORTS);
    const connect = (_, index) => context.clients.connect("/dyn-100", { transports: ways[index % ways.length] });
    const sockets = await Promise.all(Array.from({ length: 100 }, connect));
    const counts = sockets.map(() => 0);
    sockets.forEach((socket, index) => socket.on("bcast", () => (counts[index] += 1)));
    sockets[0].emit("bcast", "hello");
    await eventually(() => counts.every((count) => count > 0));
    await Promise.all(sockets.map((socket) => socket.emitWithAck("ack")));
    assert.deepEqual(
      counts,
      counts.map(() => 1),
    );

    const witness = await context.clients.connect();
    sockets.forEach((socket) => socket.disconnect());
    await eventually(async () => (await cmd(witness, "rooms", { nsp: "/dyn-100" })).length === 0);
  });

  test("many clients that talk at once each keep their order", async () => {
    const sockets = await Promise.all(
      Array.from({ length: 40 }, () => context.clients.connect("/", { transports: TRANSPORTS.websocket })),
    );
    const seen = sockets.map(() => []);
    sockets.forEach((socket, index) => socket.on("echo", (n) => seen[index].push(n)));
    for (let n = 0; n < 50; n += 1) for (const socket of sockets) socket.emit("echo", n);
    await Promise.all(sockets.map((socket) => socket.emitWithAck("ack")));
    for (const numbers of seen) assert.deepEqual(numbers, [...Array(50).keys()]);
  });

  test("clients that connect and leave without a word do no harm", async () => {
    for (let round = 0; round < 5; round += 1) {
      const hasty = Array.from({ length: 10 }, () => context.clients.create());
      await sleep(round * 3);
      hasty.forEach((socket) => socket.disconnect());
    }
    const socket = await context.clients.connect();
    await eventually(async () => (await cmd(socket, "fetchSockets")).length === 1);
  });

  test("clients survive a crash of the server and find its successor", async () => {
    const { port } = context.testbed;
    const ways = Object.values(TRANSPORTS);
    const sockets = await Promise.all(
      ways.map((transports) => context.clients.connect("/", { transports, ...RECONNECT })),
    );
    const gone = sockets.map((socket) => event(socket, "disconnect"));
    await context.testbed.kill();
    await Promise.all(gone);
    const back = sockets.map((socket) => event(socket, "connect"));
    context.testbed = await context.start({ port });
    await Promise.all(back);
    for (const socket of sockets) assert.equal(await socket.emitWithAck("ack", "alive"), "alive");
  });

  test("a server that ends in order tells its clients", async () => {
    const ways = Object.values(TRANSPORTS);
    const sockets = await Promise.all(ways.map((transports) => context.clients.connect("/", { transports })));
    const gone = sockets.map((socket) => event(socket, "disconnect"));
    const { port } = context.testbed;
    await context.testbed.stop();
    const [polling, ...webSockets] = (await Promise.all(gone)).map(([reason]) => reason);
    assert.deepEqual(webSockets, ["transport close", "transport close"]);
    // A poll that is held gets a close packet; one that is just on its way finds nobody.
    assert.ok(["transport close", "transport error"].includes(polling), polling);
    context.testbed = await context.start({ port });
  });
});
