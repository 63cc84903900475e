/**
 * Rooms, broadcasts and what a server does to many sockets at once. The three clients of each test use the three
 * ways of reaching the server, so every broadcast crosses transports.
 */
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { cmd, event, eventually, record, settled, TRANSPORTS } from "./support/client.js";
import { forEachDelivery } from "./support/matrix.js";

// What servers tell each other is not in every binding yet: SERVER_SIDE=0.
const SERVER_SIDE = process.env.SERVER_SIDE !== "0";

/** Three members of one namespace, and what each receives. */
async function members(context, options = {}) {
  const connect = (transports, index) => {
    return context.clients.connect("/", { transports, auth: { data: { index } }, query: { index }, ...options });
  };
  const sockets = await Promise.all(Object.values(TRANSPORTS).map(connect));
  // Those of the test before may still be leaving.
  await eventually(async () => (await cmd(sockets[0], "fetchSockets")).length === sockets.length);
  return { sockets, saw: sockets.map(record) };
}

const names = (saw) => saw.map((events) => events.map((parts) => parts.join(" ")));

forEachDelivery({ SERVER_NAME: "first" }, (context) => {
  let sockets, saw, a, b, c;

  beforeEach(async () => {
    ({ sockets, saw } = await members(context));
    [a, b, c] = sockets;
  });

  /** Everything sent so far has arrived at each of the three. */
  const arrivals = async () => {
    await settled(...sockets);
    return names(saw);
  };

  test("join and leave change the rooms of the socket", async () => {
    assert.deepEqual(await a.emitWithAck("join", "red"), [a.id, "red"].sort());
    assert.deepEqual(await a.emitWithAck("join", "red"), [a.id, "red"].sort());
    assert.deepEqual(await a.emitWithAck("join", ""), ["", a.id, "red"].sort());
    assert.deepEqual(await a.emitWithAck("leave", "red"), ["", a.id].sort());
    assert.deepEqual(await a.emitWithAck("leave", "never joined"), ["", a.id].sort());
    assert.deepEqual((await a.emitWithAck("whoami")).rooms, ["", a.id].sort());
  });

  test("a room gets what is sent to it, and no one else", async () => {
    await Promise.all([a.emitWithAck("join", "red"), b.emitWithAck("join", "red")]);
    c.emit("room", "red", "x");
    await settled(c);
    assert.deepEqual(await arrivals(), [["room x"], ["room x"], []]);
  });

  test("a socket that sends to its room does not hear itself", async () => {
    await Promise.all([a.emitWithAck("join", "red"), b.emitWithAck("join", "red")]);
    a.emit("room-emit", "red", "hello", 1);
    await settled(a);
    assert.deepEqual(await arrivals(), [[], ["hello 1"], []]);
  });

  test("the server sends to a room, to a socket by its id, and to all", async () => {
    await b.emitWithAck("join", "red");
    a.emit("io-emit", "red", "to-room");
    a.emit("io-emit", c.id, "to-id");
    a.emit("io-emit", null, "to-all");
    await settled(a);
    assert.deepEqual(await arrivals(), [["to-all"], ["to-room", "to-all"], ["to-id", "to-all"]]);
  });

  test("a member of two rooms gets a broadcast to both once", async () => {
    await Promise.all([a.emitWithAck("join", "red"), a.emitWithAck("join", "blue"), b.emitWithAck("join", "blue")]);
    await cmd(c, "emit", { to: ["red", "blue", "nobody"], event: "once" });
    assert.deepEqual(await arrivals(), [["once"], ["once"], []]);
  });

  test("except leaves out whole rooms and single sockets", async () => {
    await Promise.all([a.emitWithAck("join", "red"), b.emitWithAck("join", "red")]);
    await cmd(c, "emit", { except: ["red"], event: "not-red" });
    await cmd(c, "emit", { to: ["red"], except: [a.id], event: "red-but-a" });
    assert.deepEqual(await arrivals(), [[], ["red-but-a"], ["not-red"]]);
  });

  test("a room that a socket left, or that nobody is in, gets nothing", async () => {
    await a.emitWithAck("join", "red");
    await a.emitWithAck("leave", "red");
    await cmd(b, "emit", { to: ["red"], event: "x" });
    assert.deepEqual(await arrivals(), [[], [], []]);
  });

  test("flags keep a broadcast deliverable", async () => {
    await cmd(a, "emit", { flags: { local: true }, event: "local" });
    await cmd(a, "emit", { flags: { compress: false }, event: "plain" });
    await cmd(a, "emit", { flags: { compress: true }, event: "packed", args: ["x".repeat(3000)] });
    const expected = ["local", "plain", `packed ${"x".repeat(3000)}`];
    assert.deepEqual(await arrivals(), [expected, expected, expected]);
  });

  test("a broadcast brings binary to every transport", async () => {
    const bytes = Buffer.from([0, 1, 254, 255]);
    const arrived = sockets.map((socket) => event(socket, "bcast"));
    a.emit("bcast", { deep: [bytes] }, "text");
    for (const args of await Promise.all(arrived)) assert.deepEqual(args, [{ deep: [bytes] }, "text"]);
  });

  test("a socket sends to all others, to rooms, and past some", async () => {
    await Promise.all([b.emitWithAck("join", "red"), c.emitWithAck("join", "blue")]);
    await cmd(a, "socketEmit", { event: "others" });
    await cmd(a, "socketEmit", { to: ["red"], event: "red" });
    await cmd(a, "socketEmit", { except: ["red"], event: "not-red" });
    assert.deepEqual(await arrivals(), [[], ["others", "red"], ["others", "not-red"]]);
  });

  test("messages to a room come in the order in which they were sent", async () => {
    await Promise.all(sockets.map((socket) => socket.emitWithAck("join", "red")));
    for (let n = 0; n < 100; n += 1) a.emit("room", "red", n);
    await settled(a);
    const expected = [...Array(100).keys()].map((n) => `room ${n}`);
    assert.deepEqual(await arrivals(), [expected, expected, expected]);
  });

  test("a broadcast with acknowledgement collects every answer", async () => {
    sockets.forEach((socket, index) => socket.on("question", (n, answer) => answer(n + index)));
    const { err, responses } = await cmd(a, "emitAck", { event: "question", args: [10], timeout: 10_000 });
    assert.equal(err, null);
    assert.deepEqual(responses.sort(), [10, 11, 12]);
  });

  test("a broadcast with acknowledgement carries binary both ways", async () => {
    b.on("question", (answer) => answer(Buffer.from([7])));
    const result = await cmd(a, "emitAck", { to: [b.id], event: "question", timeout: 10_000 });
    assert.deepEqual(result, { err: null, responses: [Buffer.from([7])] });
  });

  test("a broadcast with acknowledgement tells who answered when not all did", async () => {
    b.on("question", (answer) => answer("b"));
    const result = await cmd(a, "emitAck", { event: "question", timeout: 1500 });
    assert.deepEqual(result, { err: "operation has timed out", responses: ["b"] });
  });

  test("a broadcast with acknowledgement to nobody is done at once", async () => {
    const result = await cmd(a, "emitAck", { to: ["empty"], event: "question", timeout: 10_000 });
    assert.deepEqual(result, { err: null, responses: [] });
  });

  test("fetchSockets describes every socket", async () => {
    await b.emitWithAck("join", "red");
    const found = await cmd(a, "fetchSockets");
    assert.deepEqual(
      found.map(({ id }) => id),
      sockets.map(({ id }) => id).sort(),
    );
    const { rooms, data, query, auth } = found.find(({ id }) => id === b.id);
    assert.deepEqual(rooms, [b.id, "red"].sort());
    assert.deepEqual([data, auth], [{ index: 1 }, { data: { index: 1 } }]);
    assert.equal(query.index, "1");
  });

  test("fetchSockets narrows by room and by exception", async () => {
    await Promise.all([a.emitWithAck("join", "red"), b.emitWithAck("join", "red")]);
    const ids = async (fields) => (await cmd(c, "fetchSockets", fields)).map(({ id }) => id);
    assert.deepEqual(await ids({ to: ["red"] }), [a.id, b.id].sort());
    assert.deepEqual(await ids({ to: ["red"], except: [a.id] }), [b.id]);
    assert.deepEqual(await ids({ to: ["nobody"] }), []);
    assert.deepEqual(await ids({ nsp: "/custom" }), []);
  });

  test("a remote socket can be spoken to and moved", async () => {
    b.on("question", (n, answer) => answer(n * 2));
    assert.equal(await cmd(a, "remote", { id: b.id, how: "emit", event: "direct", args: [1] }), true);
    assert.equal(await cmd(a, "remote", { id: b.id, how: "ack", event: "question", args: [21] }), 42);
    assert.equal(await cmd(a, "remote", { id: b.id, how: "join", rooms: ["red", "blue"] }), true);
    assert.equal(await cmd(a, "remote", { id: b.id, how: "leave", room: "red" }), true);
    await eventually(async () => (await b.emitWithAck("whoami")).rooms.length === 2);
    assert.deepEqual((await b.emitWithAck("whoami")).rooms, [b.id, "blue"].sort());
    assert.deepEqual(await arrivals(), [[], ["direct 1", "question 21"], []]);
  });

  test("a remote socket can be disconnected", async () => {
    const gone = event(b, "disconnect");
    await cmd(a, "remote", { id: b.id, how: "disconnect", close: true });
    assert.equal((await gone)[0], "io server disconnect");
    await assert.rejects(cmd(a, "remote", { id: b.id, how: "emit", event: "x" }));
  });

  test("many sockets join and leave rooms together", async () => {
    await cmd(a, "socketsJoin", { rooms: ["red", "blue"] });
    await cmd(a, "socketsLeave", { except: [a.id], rooms: ["blue"] });
    await settled(...sockets);
    const rooms = await Promise.all(sockets.map(async (socket) => (await socket.emitWithAck("whoami")).rooms));
    assert.deepEqual(rooms, [[a.id, "red", "blue"].sort(), [b.id, "red"].sort(), [c.id, "red"].sort()]);
  });

  test("many sockets are disconnected together", async () => {
    await Promise.all([b.emitWithAck("join", "red"), c.emitWithAck("join", "red")]);
    const gone = [event(b, "disconnect"), event(c, "disconnect")];
    await cmd(a, "disconnectSockets", { to: ["red"], close: true });
    assert.deepEqual(
      (await Promise.all(gone)).map(([reason]) => reason),
      ["io server disconnect", "io server disconnect"],
    );
    assert.deepEqual(
      (await cmd(a, "fetchSockets")).map(({ id }) => id),
      [a.id],
    );
  });

  test("rooms come with their first member and go with their last", async () => {
    await a.emitWithAck("join", "red");
    assert.deepEqual(await cmd(a, "rooms"), [a.id, b.id, c.id, "red"].sort());
    await a.emitWithAck("leave", "red");
    b.disconnect();
    await eventually(async () => (await cmd(a, "rooms")).length === 2);
    assert.deepEqual(await cmd(a, "rooms"), [a.id, c.id].sort());
  });

  test("auth.rooms are joined on connection", async () => {
    const socket = await context.clients.connect("/", { auth: { rooms: ["red", "blue"] } });
    assert.deepEqual((await socket.emitWithAck("whoami")).rooms, [socket.id, "red", "blue"].sort());
    socket.disconnect();
  });

  test("one server is a cluster of one", { skip: SERVER_SIDE ? false : "the testbed has no events between servers" }, async () => {
    assert.equal(await cmd(a, "name"), "first");
    assert.equal(await cmd(a, "serverCount"), 1);
    assert.equal(await cmd(a, "serverSideEmit", { event: "sse", args: [1] }), true);
    assert.deepEqual(await cmd(a, "serverSideEmitAck", { event: "sse-ack" }), { err: null, responses: [] });
    assert.deepEqual(await cmd(a, "log"), [], "a server does not hear itself");
  });

  test("an operation in another namespace stays there", async () => {
    const custom = await context.clients.connect("/custom");
    const arrived = event(custom, "hello");
    await cmd(a, "emit", { nsp: "/custom", event: "hello", args: ["there"] });
    assert.deepEqual(await arrived, ["there"]);
    assert.deepEqual(await arrivals(), [[], [], []]);
  });

  test("an unknown operation is an error, not an end", async () => {
    await assert.rejects(cmd(a, "no such operation"));
    assert.equal(await a.emitWithAck("ack", "alive"), "alive");
  });
});
