// Upgrades that come to nothing: broken off by their peers, refused, answered by somebody else, or nobody's.
"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const net = require("node:net");
const { test } = require("node:test");
const { serve } = require("./support/harness");

/** A peer that asks for an upgrade, and what it was answered; it never closes its side by itself. */
function ask(t, httpServer, path = "/socket.io/?EIO=4&transport=websocket") {
  const peer = net.connect({ port: httpServer.address().port, host: "127.0.0.1", allowHalfOpen: true });
  peer.write(
    `GET ${path} HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
  );
  peer.answer = "";
  peer.on("error", () => {}); // it may be cut off
  peer.setEncoding("latin1").on("data", (text) => (peer.answer += text));
  t.after(() => peer.destroy());
  return peer;
}

// An error that nobody expects would end the process, and fails the test here.

for (const verdict of [true, false]) {
  test(`a peer that breaks off while it is decided on ends nothing else: ${verdict}`, async (t) => {
    let peer, decided;
    const over = new Promise((resolve) => (decided = resolve));
    const allowRequest = (req, decide) => {
      req.socket.once("close", () => {
        decide(null, verdict);
        decided();
      });
      peer.resetAndDestroy();
    };
    const { io, httpServer } = await serve(t, { allowRequest });
    peer = ask(t, httpServer);
    await over;
    assert.deepEqual([io.engine.clientsCount, io.engine.guests.streams.size], [0, 0]);
  });
}

test("a peer that breaks off what nobody answers ends nothing else", async (t) => {
  const { httpServer } = await serve(t);
  const upgraded = once(httpServer, "upgrade");
  const peer = ask(t, httpServer, "/elsewhere");
  const [, socket] = await upgraded;
  peer.resetAndDestroy();
  await new Promise((resolve) => socket.once("close", resolve)); // `once` of node:events would listen to errors
});

test("what nobody answers is closed after a while, whatever its peer does", async (t) => {
  const { httpServer } = await serve(t, { destroyUpgradeTimeout: 10 });
  const upgraded = once(httpServer, "upgrade");
  ask(t, httpServer, "/elsewhere");
  await once((await upgraded)[1], "close");
});

test("a refused upgrade is closed when its peer was told, whatever the peer does", async (t) => {
  const { httpServer } = await serve(t, { allowRequest: (_req, decide) => decide("closed today", false) });
  const upgraded = once(httpServer, "upgrade");
  const peer = ask(t, httpServer);
  const [, socket] = await upgraded;
  await Promise.all([once(socket, "close"), once(peer, "end")]);
  assert.match(peer.answer, /^HTTP\/1\.1 403 [^]*closed today$/);
});

test("a middleware that answers an upgrade by itself closes it", async (t) => {
  const { io, httpServer } = await serve(t);
  io.engine.use((_req, res) => {
    res.writeHead(401);
    res.end("no");
  });
  await once(ask(t, httpServer), "end");
});
