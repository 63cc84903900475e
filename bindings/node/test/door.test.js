// WebSocket handshakes that the engine takes before Node makes a connection of them, and those that somebody wants to see first.
"use strict";

const assert = require("node:assert/strict");
const { createServer } = require("node:http");
const { test } = require("node:test");
const { serve, next } = require("./support/harness");

/** Long enough for a client's first bytes to be there when its connection is looked at. */
const LATE_MS = 300;

/** A server that looks at connections a little late, and counts those that come by Node's way. */
async function serveLate(t, options, httpServer = createServer((_req, res) => res.end("mine"))) {
  const served = await serve(t, options, httpServer);
  const handle = httpServer._handle;
  const { onconnection } = handle;
  handle.onconnection = function (...args) {
    setTimeout(() => onconnection.apply(this, args), LATE_MS);
  };
  const { engine } = served.io;
  engine.divertFrom = 0;
  const { handleUpgrade } = engine;
  served.upgrades = 0;
  engine.handleUpgrade = function (...args) {
    served.upgrades++;
    return handleUpgrade.apply(this, args);
  };
  return served;
}

const websocket = { transports: ["websocket"] };

/** Connects a client; its socket here. */
async function meet(served, nsp = "/", options = {}) {
  const connected = next(served.io.of(nsp), "connection");
  const client = served.client(nsp, { ...websocket, ...options });
  return [(await connected)[0], client];
}

test("a handshake is taken at the door, and its client is like any other", async (t) => {
  const served = await serveLate(t);
  const { io } = served;
  io.of("/other");
  const [socket, client] = await meet(served, "/", { query: { who: "ada" }, extraHeaders: { cookie: "a=b" } });
  assert.equal(served.upgrades, 0);
  assert.deepEqual([socket.handshake.query.who, socket.handshake.headers.cookie], ["ada", "a=b"]);
  assert.equal(socket.handshake.headers["x-sockeye-guest"], undefined);
  assert.match(socket.conn.remoteAddress, /127\.0\.0\.1$/);
  socket.on("echo", (value, ack) => ack(value));
  assert.deepEqual(await client.emitWithAck("echo", { bytes: Buffer.from([1]) }), { bytes: Buffer.from([1]) });
  const joined = next(io.of("/other"), "connection");
  client.io.socket("/other");
  const [[other], [another]] = [await joined, await meet(served)];
  assert.equal(other.client, socket.client);
  assert.notEqual(another.client, socket.client);
  assert.equal(io.engine.clientsCount, 2);
});

test("few clients come by Node's way, in the order of their connections", async (t) => {
  const served = await serveLate(t);
  served.io.engine.divertFrom = 2;
  for (const upgrades of [1, 2, 2]) {
    await meet(served);
    assert.equal(served.upgrades, upgrades);
  }
});

test("requests, polling clients and upgrades of theirs go through Node", async (t) => {
  const served = await serveLate(t);
  assert.equal(await (await fetch(served.url)).text(), "mine");
  const [, client] = await meet(served, "/", { transports: ["polling", "websocket"] });
  if (client.io.engine.transport.name !== "websocket") await next(client.io.engine, "upgrade");
  assert.equal(served.upgrades, 1);
});

test("a header that only the server may write is not believed", async (t) => {
  const served = await serveLate(t);
  const [first] = await meet(served);
  const [second] = await meet(served, "/", { extraHeaders: { "X-Sockeye-Guest": "1" } });
  assert.equal(served.upgrades, 1);
  assert.notEqual(second.client, first.client);
  assert.equal(second.handshake.headers["x-sockeye-guest"], undefined);
});

test("who listens to connections or upgrades, decides or has middlewares sees what comes", async (t) => {
  let seen = 0;
  const see = () => seen++;
  for (const { options = {}, prepare = () => {} } of [
    { prepare: ({ httpServer }) => httpServer.on("connection", see) },
    { prepare: ({ httpServer }) => httpServer.on("upgrade", see) },
    { prepare: ({ io }) => io.engine.use((_req, _res, go) => (see(), go())) },
    { options: { allowRequest: (_req, decide) => (see(), decide(null, true)) } },
  ]) {
    const served = await serveLate(t, options);
    prepare(served);
    seen = 0;
    await meet(served);
    assert.deepEqual([seen, served.upgrades], [1, 1]);
  }
});
