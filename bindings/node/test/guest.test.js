// A good guest in a Node process: beside other servers, in workers, and at the end.
"use strict";

const assert = require("node:assert/strict");
const { createServer } = require("node:http");
const { test } = require("node:test");
const { Server } = require("..");
const { ROOT, serve, next, run } = require("./support/harness");

test("a server keeps its own routes, and the engine answers under its path", async (t) => {
  const httpServer = createServer((req, res) => res.end(`mine: ${req.url}`));
  const { client, url } = await serve(t, {}, httpServer);
  assert.equal(await (await fetch(`${url}/x`)).text(), "mine: /x");
  assert.match(await (await fetch(`${url}/socket.io/socket.io.js`)).text(), /engine\.io/);
  assert.equal((await fetch(`${url}/socket.io/?EIO=4&transport=nothing`)).status, 400);
  await next(client(), "connect");
});

test("requests are decided by allowRequest, seen by middlewares, and their headers by listeners", async (t) => {
  const { io, client, url } = await serve(t, {
    allowRequest: (req, decide) => decide(req.headers["x-key"] === "open" ? null : "closed", req.headers["x-key"] === "open"),
  });
  io.engine.use((req, _res, go) => {
    req.session = "of the program";
    go();
  });
  io.engine.on("initial_headers", (headers) => (headers["x-added"] = "yes"));
  const refusals = [];
  io.engine.on("connection_error", ({ code, message }) => refusals.push([code, message]));
  const refused = await fetch(`${url}/socket.io/?EIO=4&transport=polling`);
  assert.deepEqual([refused.status, await refused.json()], [403, { code: 4, message: "closed" }]);
  const allowed = await fetch(`${url}/socket.io/?EIO=4&transport=polling`, { headers: { "x-key": "open" } });
  assert.equal(allowed.headers.get("x-added"), "yes");
  assert.deepEqual(refusals, [[4, "closed"]]);
  for (const transports of [["polling"], ["websocket"]]) {
    const connected = next(io, "connection");
    client("/", { transports, extraHeaders: { "x-key": "open", "x-sockeye-guest": "1" } });
    const [socket] = await connected;
    assert.equal(socket.request.session, "of the program");
    assert.equal(socket.handshake.headers["x-sockeye-guest"], undefined);
  }
  assert.equal(io.engine.clientsCount, 3);
});

test("process.exit with live connections neither hangs nor crashes", () => {
  const { status, stderr } = run(`
    const io = new Server(0);
    let left = 3;
    io.on("connection", (socket) => { socket.emit("hi"); if (--left === 0) process.exit(5); });
    for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]])
      ioc("http://localhost:" + io.httpServer.address().port, { transports, forceNew: true });`);
  assert.equal(status, 5, stderr);
});

test("a process ends by itself once its servers are closed", () => {
  const { status, stderr, stdout } = run(`
    const io = new Server(0);
    const client = ioc("http://localhost:" + io.httpServer.address().port);
    client.on("connect", () => { io.close(() => console.log("closed")); client.close(); });`);
  assert.deepEqual([status, stdout], [0, "closed\n"], stderr);
});

test("worker threads have servers of their own, and may be terminated", () => {
  const { status, stderr, stdout } = run(`
    const { Worker, isMainThread } = require("node:worker_threads");
    const source = ${JSON.stringify(`
      const { parentPort } = require("node:worker_threads");
      const { Server } = require(${JSON.stringify(ROOT)});
      const io = new Server(0);
      io.on("connection", (socket) => socket.on("hi", (ack) => ack("from a worker")));
      parentPort.postMessage(io.httpServer.address().port);`)};
    let left = 2;
    for (let i = 0; i < 2; i++) {
      const worker = new Worker(source, { eval: true });
      worker.on("message", (port) => ioc("http://localhost:" + port, { forceNew: true, reconnection: false }).emit("hi", (text) => {
        console.log(text);
        worker.terminate().then(() => --left || process.exit(0));
      }));
    }`);
  assert.deepEqual([status, stdout], [0, "from a worker\nfrom a worker\n"], stderr);
});

test("servers of one process share nothing", async (t) => {
  const one = await serve(t);
  const two = await serve(t);
  one.io.on("connection", (socket) => socket.join("r"));
  two.io.on("connection", (socket) => socket.join("r"));
  const [a, b] = [one.client(), two.client()];
  await Promise.all([next(a, "connect"), next(b, "connect")]);
  b.on("x", () => assert.fail("not for this one"));
  const heard = next(a, "x");
  one.io.to("r").emit("x");
  await heard;
  assert.equal(two.io.of("/").sockets.size, 1);
});

test("a server that refuses its options leaves nothing behind", () => {
  const { status, stdout, stderr } = run(`
    try { new Server(0, { pingInterval: -1 }); } catch (error) { console.log(error.message); }`);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /pingInterval/);
});

test("mistakes are named: a request handler, a wrong option, a reserved name", () => {
  assert.throws(() => new Server().attach(() => {}), /express/);
  assert.throws(() => new Server(createServer(), { pingInterval: -1 }), /pingInterval/);
  assert.throws(() => new Server().emit("connect"), /"connect" is a reserved event name/);
});
