// Handlers that fail, reject, or never come to an end: what Node's users expect of them, and no harm to anybody else.
"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const { test } = require("node:test");
const { setTimeout: sleep } = require("node:timers/promises");
const ioc = require("socket.io-client");
const { serve, next, run, start } = require("./support/harness");

test("an exception of a handler is an uncaughtException, and ends nothing else", () => {
  const { stdout, status, stderr } = run(`
    const io = new Server(0);
    const seen = [];
    process.on("uncaughtException", (error) => seen.push(error.message));
    io.on("connection", (socket) => {
      socket.on("bad", (n) => { throw new Error("bad " + n); });
      socket.on("good", (n, ack) => ack(n, seen));
    });
    const socket = ioc("http://localhost:" + io.httpServer.address().port, { transports: ["websocket"] });
    for (let n = 0; n < 3; n++) socket.emit("bad", n);
    socket.emit("good", 7, (...answer) => { console.log(JSON.stringify(answer)); process.exit(); });`);
  assert.equal(stdout, '[7,["bad 0","bad 1","bad 2"]]\n', stderr);
  assert.equal(status, 0);
});

test("an exception that nobody catches ends the process, as always", () => {
  const { status, stderr } = run(`
    const io = new Server(0);
    io.on("connection", () => { throw new Error("from the handler"); });
    ioc("http://localhost:" + io.httpServer.address().port);`);
  assert.equal(status, 1);
  assert.match(stderr, /from the handler/);
});

test("an exception of any callback is an uncaughtException, and the server goes on", () => {
  const { stdout, status, stderr } = run(`
    const io = new Server(0);
    const seen = [];
    process.on("uncaughtException", (error) => seen.push(error.message));
    const fail = (where) => { throw new Error(where); };
    io.of("/guarded").use(() => fail("middleware"));
    io.of("/other").on("connection", () => fail("connection"));
    io.on("connection", (socket) => {
      socket.onAny((name) => name === "any" && fail("onAny"));
      socket.use(([name], next) => (name === "packet" ? fail("use") : next()));
      socket.on("ask", () => socket.emit("question", () => fail("ack")));
      socket.on("disconnecting", () => fail("disconnecting"));
      socket.on("disconnect", () => fail("disconnect"));
    });
    const url = "http://localhost:" + io.httpServer.address().port;
    const first = ioc(url, { transports: ["websocket"], forceNew: true });
    first.on("question", (answer) => {
      answer();
      first.emit("any");
      first.emit("packet");
      ioc(url + "/guarded", { forceNew: true });
      ioc(url + "/other", { forceNew: true }).on("connect", () => first.disconnect());
    });
    first.emit("ask");
    const timer = setInterval(() => {
      if (seen.length < 7) return;
      clearInterval(timer);
      ioc(url, { forceNew: true }).on("connect", () => { console.log(seen.sort().join()); process.exit(); });
    }, 10);`);
  assert.equal(stdout, "ack,connection,disconnect,disconnecting,middleware,onAny,use\n", stderr);
  assert.equal(status, 0);
});

test("an exception of a listener to the engine's answers costs no other answer", () => {
  const { stdout, status, stderr } = run(`
    const io = new Server(0);
    const seen = [];
    process.on("uncaughtException", (error) => seen.push(error.message));
    const url = "http://localhost:" + io.httpServer.address().port + "/socket.io/?EIO=4&transport=polling";
    const { guests } = io.engine;
    io.engine.on("headers", (_headers, req) => { if (req.url.includes("bad")) throw new Error("headers"); });
    // Two answers in one turn of the loop, the bad one first.
    const { onNotes } = guests;
    const kept = [];
    guests.onNotes = (notes) => {
      kept.push(...notes);
      if (kept.length > 5) return onNotes.call(guests, kept);
      fetch(url).then(({ status }) => { console.log(status, seen.join()); process.exit(); });
    };
    fetch(url + "&bad=1").catch(() => {});`);
  assert.equal(stdout, "200 headers\n", stderr);
  assert.equal(status, 0);
});

test("a rejection of an async handler is an unhandledRejection, and ends nothing else", () => {
  const { stdout, status, stderr } = run(`
    const io = new Server(0);
    const seen = [];
    process.on("unhandledRejection", (error) => seen.push(error.message));
    io.on("connection", async (socket) => {
      socket.on("bad", async (n) => { throw new Error("bad " + n); });
      socket.on("later", async () => { await null; throw new Error("later"); });
      socket.on("good", async (ack) => setImmediate(() => ack(seen)));
      throw new Error("connection");
    });
    const socket = ioc("http://localhost:" + io.httpServer.address().port, { transports: ["websocket"] });
    for (let n = 0; n < 2; n++) socket.emit("bad", n);
    socket.emit("later");
    socket.emit("good", (seen) => { console.log(seen.join()); process.exit(); });`);
  assert.equal(stdout, "connection,bad 0,bad 1,later\n", stderr);
  assert.equal(status, 0);
});

test("a rejection that nobody handles ends the process, as always", () => {
  const { status, stderr } = run(`
    const io = new Server(0);
    io.on("connection", async () => { throw new Error("from the async handler"); });
    ioc("http://localhost:" + io.httpServer.address().port);`);
  assert.equal(status, 1);
  assert.match(stderr, /from the async handler/);
});

test("an async handler that never comes to an end holds nothing up", async (t) => {
  const { io, client } = await serve(t);
  io.on("connection", (socket) => {
    socket.on("forever", async () => new Promise(() => {}));
    socket.on("n", (n, ack) => ack(n));
  });
  const socket = client();
  socket.emit("forever", () => assert.fail("it answers nothing"));
  assert.equal(await socket.emitWithAck("n", 5), 5);
});

/** Longer than clients that are not answered stay. */
const BLOCKED_MS = 5_000;

/** A server whose handler `block` blocks its thread so long; clients would lose it soon if it did not answer. */
const BLOCKING = `
  const io = new Server(0, { pingInterval: 100, pingTimeout: 3000 });
  io.on("connection", (socket) => {
    socket.on("block", (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms ?? undefined));
    socket.on("n", (n, ack) => ack(n));
  });
  io.httpServer.on("listening", () => console.log(io.httpServer.address().port));`;

test("connections outlive a handler that blocks, and get their answers after it", async (t) => {
  const { url } = await start(t, BLOCKING);
  const socket = ioc(url, { transports: ["websocket"], reconnection: false, forceNew: true });
  t.after(() => socket.close());
  await next(socket, "connect");
  const reasons = [];
  socket.on("disconnect", (reason) => reasons.push(reason));
  socket.emit("block", BLOCKED_MS);
  const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => socket.timeout(30_000).emitWithAck("n", n)));
  assert.deepEqual(reasons, []);
  assert.deepEqual(answers, Array.from({ length: 100 }, (_, n) => n));
});

test("a handler that never returns keeps neither its connections from living nor its process from being ended", async (t) => {
  const { child, url } = await start(t, BLOCKING);
  const socket = ioc(url, { transports: ["websocket"], reconnection: false, forceNew: true });
  t.after(() => socket.close());
  await next(socket, "connect");
  let left = false;
  socket.on("disconnect", () => (left = true));
  socket.emit("block", null);
  await sleep(BLOCKED_MS);
  assert.equal(left, false);
  child.kill("SIGTERM");
  const [, signal] = await once(child, "exit");
  assert.equal(signal, "SIGTERM");
});
