// Encrypted servers: Node decrypts, and gives the engine the bytes.
"use strict";

const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const http2 = require("node:http2");
const https = require("node:https");
const os = require("node:os");
const path = require("node:path");
const tls = require("node:tls");
const { after, before, test } = require("node:test");
const { serve, next } = require("./support/harness");

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "sockeye-"));
let identity;
before(() => {
  const [key, cert] = [path.join(folder, "key.pem"), path.join(folder, "cert.pem")];
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
    "-subj", "/CN=localhost", "-keyout", key, "-out", cert], { stdio: "ignore" });
  identity = { key: fs.readFileSync(key), cert: fs.readFileSync(cert) };
});
after(() => fs.rmSync(folder, { recursive: true }));

for (const [name, create] of [
  ["HTTPS", () => https.createServer(identity)],
  ["HTTP/2 servers that allow HTTP/1", () => http2.createSecureServer({ ...identity, allowHTTP1: true })],
]) {
  test(`${name}: encrypted connections go to the engine byte by byte`, async (t) => {
    const { io, client } = await serve(t, { maxHttpBufferSize: 1e7 }, create(), "https");
    io.on("connection", (socket) => socket.on("echo", (bytes, ack) => ack(bytes, socket.handshake.secure, socket.conn.transport.name)));
    for (const transports of [["polling"], ["websocket"]]) {
      const bytes = Buffer.alloc(2_000_000, "sockeye");
      const [same, secure, transport] = await new Promise((resolve) =>
        client("/", { transports }).emit("echo", bytes, (...answer) => resolve(answer)));
      assert.ok(Buffer.compare(same, bytes) === 0);
      assert.deepEqual([secure, transport], [true, transports[0]]);
    }
    const upgrading = client();
    await next(upgrading, "connect");
    if (upgrading.io.engine.transport.name !== "websocket") await next(upgrading.io.engine, "upgrade");
    const bytes = Buffer.from([1, 2, 3]);
    const [same, , transport] = await new Promise((resolve) => upgrading.emit("echo", bytes, (...answer) => resolve(answer)));
    assert.deepEqual([[...same], transport], [[1, 2, 3], "websocket"]);
  });
}

test("a connection whose peer does not close its side ends all the same", async (t) => {
  const { io, httpServer } = await serve(t, {}, https.createServer(identity), "https");
  io.engine.guests.closeTimeoutMs = 10;
  const connected = next(io, "connection");
  const upgraded = next(httpServer, "upgrade");
  const peer = tls.connect({ port: httpServer.address().port, host: "127.0.0.1", rejectUnauthorized: false, allowHalfOpen: true });
  peer.on("error", () => {}).resume();
  peer.write(
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
  );
  const say = (text) => peer.write(Buffer.concat([Buffer.from([0x81, 0x80 + text.length, 0, 0, 0, 0]), Buffer.from(text)]));
  const [, socket] = await upgraded;
  say("40");
  await connected;
  const closed = new Promise((resolve) => socket.once("close", resolve));
  say("no packet of any protocol");
  await closed;
  assert.equal(io.engine.guests.streams.size, 0);
  peer.destroy();
});

/** A request of HTTP/2; `[status, body]`. */
function ask(session, path, body) {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ":path": path, ":method": body === undefined ? "GET" : "POST" });
    let status;
    let text = "";
    stream.setEncoding("utf8");
    stream.on("response", (headers) => (status = headers[":status"]));
    stream.on("data", (chunk) => (text += chunk));
    stream.on("end", () => resolve([status, text]));
    stream.on("error", reject);
    stream.end(body);
  });
}

test("a client of HTTP/2 polls, sends and is served the browser client", async (t) => {
  const { io, url } = await serve(t, {}, http2.createSecureServer(identity), "https");
  io.on("connection", (socket) => socket.on("say", (text) => socket.emit("heard", text, socket.handshake.headers.host)));
  const session = http2.connect(url, { rejectUnauthorized: false });
  const [, open] = await ask(session, "/socket.io/?EIO=4&transport=polling");
  const { sid } = JSON.parse(open.slice(1));
  const target = `/socket.io/?EIO=4&transport=polling&sid=${sid}`;
  assert.deepEqual(await ask(session, target, "40"), [200, "ok"]);
  assert.match((await ask(session, target))[1], /^40\{"sid":/);
  const [answer, sent] = await Promise.all([ask(session, target), ask(session, target, '42["say","hi"]')]);
  assert.deepEqual([answer, sent], [[200, `42["heard","hi","${new URL(url).host}"]`], [200, "ok"]]);
  const [status, client] = await ask(session, "/socket.io/socket.io.js");
  session.destroy();
  assert.equal(status, 200);
  assert.match(client, /engine\.io/);
});
