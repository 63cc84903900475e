// What goes between a client and the server: arguments, binary, acknowledgements, rooms, in order and through both transports.
"use strict";

const assert = require("node:assert/strict");
const { test } = require("node:test");
const { serve, next } = require("./support/harness");

for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
  test(`arguments of all kinds come back by ${transports}`, async (t) => {
    const { io, client } = await serve(t);
    io.on("connection", (socket) => socket.on("echo", (...args) => socket.emit("echo", ...args)));
    const socket = client("/", { transports });
    const args = [1, "zwölf — 十二\n\x1b", null, true, { deep: [{ er: "x" }] }, [], -0.5];
    socket.emit("echo", ...args);
    assert.deepEqual(await next(socket, "echo"), args);
    socket.emit("echo");
    assert.deepEqual(await next(socket, "echo"), []);
  });

  test(`binary at any depth goes both ways by ${transports}`, async (t) => {
    const { io, client } = await serve(t);
    io.on("connection", (socket) =>
      socket.on("bin", (value, ack) => {
        assert.ok(Buffer.isBuffer(value.a.b[0]));
        ack({ same: value, view: new Uint16Array([1, 2]), plain: new Uint8Array([7]).buffer, empty: Buffer.alloc(0) });
      }));
    const answer = await client("/", { transports }).emitWithAck("bin", { a: { b: [Buffer.from([1, 2, 3]), "x"] } });
    assert.deepEqual([...answer.same.a.b[0]], [1, 2, 3]);
    assert.deepEqual([...answer.view], [1, 0, 2, 0]);
    assert.deepEqual([[...answer.plain], answer.empty.length], [[7], 0]);
  });
}

test("names and rooms may hold any character", async (t) => {
  const { io, client } = await serve(t);
  const odd = "a\nb\x1bn\x1be\"ü";
  io.on("connection", (socket) => {
    socket.join(odd);
    io.to(odd).except("nobody\n").emit(odd, odd);
  });
  assert.deepEqual(await next(client(), odd), [odd]);
});

test("what a client gives for a room or name has a text, or is given one", async (t) => {
  const { io, client } = await serve(t);
  io.on("connection", (socket) =>
    socket.on("join", async (room, ack) => {
      await socket.join(room);
      io.to(room).emit(room, "there");
      ack(socket.rooms.has(room));
      await socket.leave(room);
    }));
  const socket = client();
  for (const room of [null, 7, true, {}, { toString: 1, valueOf: 1 }]) {
    const heard = new Promise((resolve) => socket.onAny((...args) => resolve(args)));
    assert.equal(await socket.emitWithAck("join", room), true);
    assert.deepEqual((await heard)[1], "there");
    socket.offAny();
  }
});

test("more operations in a turn than a crossing takes keep their order", async (t) => {
  const { io, client } = await serve(t);
  const count = 5000;
  io.on("connection", (socket) => {
    for (let i = 0; i < count; i++) socket.emit("n", i);
    socket.emit("end");
  });
  const seen = [];
  const socket = client("/", { transports: ["websocket"] });
  socket.on("n", (i) => seen.push(i));
  await next(socket, "end");
  assert.deepEqual(seen, Array.from({ length: count }, (_, i) => i));
});

test("what cannot be encoded throws where it is emitted, and disturbs nothing else", async (t) => {
  const { io, client } = await serve(t);
  io.on("connection", (socket) => {
    socket.emit("first");
    const circular = { buffer: Buffer.alloc(1) };
    circular.self = circular;
    assert.throws(() => socket.emit("never", circular));
    assert.throws(() => socket.emit("never", 1n), TypeError);
    socket.emit("second", Buffer.from([5]));
  });
  const socket = client();
  const [, [bytes]] = await Promise.all([next(socket, "first"), next(socket, "second")]);
  assert.deepEqual([...bytes], [5]);
});

test("acknowledgements: asked for, given once, timed out, of many", async (t) => {
  const { io, client } = await serve(t);
  const connected = next(io, "connection");
  const a = client();
  a.on("sum", (x, y, ack) => ack(x + y));
  const [socket] = await connected;
  assert.equal(await socket.emitWithAck("sum", 1, 2), 3);
  assert.equal(await socket.timeout(20_000).emitWithAck("sum", 3, 4), 7);
  await assert.rejects(socket.timeout(20).emitWithAck("silence"), { message: "operation has timed out" });
  const another = next(io, "connection");
  client().on("sum", (x, y, ack) => ack(x * y));
  await another;
  assert.deepEqual((await io.timeout(20_000).emitWithAck("sum", 5, 6)).sort(), [11, 30]);
  await assert.rejects(io.timeout(20).emitWithAck("silence"), (error) => error.responses.length === 0);
});

test("rooms are where the socket says, and emissions follow them", async (t) => {
  const { io, client } = await serve(t);
  const names = [];
  for (const event of ["create-room", "join-room", "leave-room", "delete-room"]) {
    io.of("/").adapter.on(event, (room) => room === "blue" && names.push(event));
  }
  const connected = next(io, "connection");
  const heard = [];
  const a = client();
  a.on("say", (text) => heard.push(text));
  a.on("late", (ack) => ack());
  const [socket] = await connected;
  socket.join(["red", "blue"]);
  assert.deepEqual(socket.rooms, new Set([socket.id, "red", "blue"]));
  io.to("blue").emit("say", "blue");
  socket.leave("blue");
  io.to("blue").emit("say", "not this");
  io.to(["blue", "red"]).emit("say", "red");
  socket.to("red").emit("say", "nor this");
  io.except("red").emit("say", "nor that");
  io.in("red").socketsJoin("green");
  assert.deepEqual((await io.in("green").fetchSockets()).map((one) => one.id), [socket.id]);
  assert.deepEqual([...io.of("/").adapter.rooms.keys()].sort(), [socket.id, "red", "green"].sort());
  await socket.emitWithAck("late");
  assert.deepEqual(heard, ["blue", "red"]);
  assert.deepEqual(names, ["create-room", "join-room", "leave-room", "delete-room"]);
});

test("middlewares refuse with data, pass packets on, and may change them", async (t) => {
  const { io, client } = await serve(t);
  io.use((socket, go) => {
    socket.join("early");
    socket.data.user = socket.handshake.auth.user;
    go(socket.data.user ? undefined : Object.assign(new Error("who?"), { data: { code: 7 } }));
  });
  io.on("connection", (socket) => {
    socket.use((event, go) => (event[0] === "bad" ? go(new Error("no")) : (event.push("added"), go())));
    socket.on("good", (...args) => socket.emit("args", args));
    socket.on("error", (error) => socket.emit("refused", error.message));
  });
  const [error] = await next(client(), "connect_error");
  assert.deepEqual([error.message, error.data], ["who?", { code: 7 }]);
  const socket = client("/", { auth: { user: "ada" } });
  socket.emit("good", 1);
  assert.deepEqual(await next(socket, "args"), [[1, "added"]]);
  socket.emit("bad");
  assert.deepEqual(await next(socket, "refused"), ["no"]);
  assert.equal((await io.in("early").fetchSockets())[0].data.user, "ada");
});

test("dynamic namespaces are decided by expressions and functions of the program", async (t) => {
  const { io, client } = await serve(t, { cleanupEmptyChildNamespaces: true });
  const parent = io.of(/^\/room-\d+$/);
  parent.on("connection", (socket) => socket.emit("hello", socket.nsp.name));
  io.of((name, auth, decide) => setImmediate(decide, null, auth.key === name));
  const one = client("/room-12");
  assert.deepEqual(await next(one, "hello"), ["/room-12"]);
  parent.emit("all", 1);
  assert.deepEqual(await next(one, "all"), [1]);
  await next(client("/secret", { auth: { key: "/secret" } }), "connect");
  const [error] = await next(client("/secret2", { auth: {} }), "connect_error");
  assert.equal(error.message, "Invalid namespace");
});

/** How many namespaces the engine has. */
const namespaces = (io) => Number(/^sockeye_namespaces (\d+)$/m.exec(io.engine.metrics())[1]);

const until = async (is) => {
  while (!is()) await new Promise((resolve) => setTimeout(resolve, 5));
};

for (const shards of [1, 3]) {
  test(`cleanupEmptyChildNamespaces ends dynamic namespaces with their last socket, for ${shards} I/O threads`, async (t) => {
    const { io, client } = await serve(t, { cleanupEmptyChildNamespaces: true, shards });
    const parent = io.of(/^\/room-\d+$/);
    parent.use((socket, next) => setImmediate(next, socket.handshake.auth.bad && new Error("bad")));
    for (let round = 0; round < 3; round++) {
      const sockets = [0, 0, 1, 2, 3].map((room) => client(`/room-${room}`));
      const bad = client("/room-9", { auth: { bad: true } });
      await Promise.all([...sockets.map((socket) => next(socket, "connect")), next(bad, "connect_error")]);
      await until(() => namespaces(io) === 5 && parent.children.size === 4);
      const heard = sockets.map((socket) => next(socket, "hello"));
      parent.emit("hello", round);
      assert.deepEqual(await Promise.all(heard), Array(5).fill([round]));
      sockets[0].disconnect();
      io.of("/room-1").disconnectSockets();
      await until(() => namespaces(io) === 4 && parent.children.size === 3);
      for (const socket of sockets) socket.disconnect();
      await until(() => namespaces(io) === 1 && parent.children.size === 0);
    }
    assert.equal(io._nsps.size, 1);
    assert.equal(io._names.size, 1);
  });
}

test("without it they stay", async (t) => {
  const { io, client } = await serve(t);
  io.of(/^\/room-\d+$/);
  const socket = client("/room-1");
  await next(socket, "connect");
  const left = new Promise((resolve) => io.of("/room-1").sockets.get(socket.id).on("disconnect", resolve));
  socket.disconnect();
  await left;
  assert.deepEqual([namespaces(io), io._nsps.size], [2, 2]);
});

test("reasons of leaving are the official ones, told once, with the rooms still there", async (t) => {
  const { io, client } = await serve(t);
  const seen = [];
  io.on("connection", (socket) => {
    socket.join("x");
    socket.on("disconnecting", (reason) => seen.push([reason, socket.rooms.has("x")]));
    socket.on("disconnect", (reason) => seen.push([reason, socket.rooms.size]));
    socket.on("kick", (close) => socket.disconnect(close));
  });
  const a = client();
  a.emit("kick", false);
  assert.deepEqual(await next(a, "disconnect").then(([reason]) => reason), "io server disconnect");
  const b = client();
  await next(b, "connect");
  b.disconnect();
  const c = client("/", { transports: ["websocket"] });
  await next(c, "connect");
  c.io.engine.close();
  while (seen.length < 6) await new Promise(setImmediate);
  assert.deepEqual(seen, ["server namespace disconnect", "client namespace disconnect", "transport close"].flatMap((reason) => [[reason, true], [reason, 0]]));
  assert.equal(io.of("/").sockets.size, 0);
});
