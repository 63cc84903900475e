/** Programs with a listener of their own give requests and connections to the engine: examples/cpp/beast.cpp, examples/c/tls.c. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import https from "node:https";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import tls from "node:tls";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Clients, TRANSPORTS, event, upgraded } from "./support/client.js";
import { request } from "./support/http.js";
import { Program, ROOT, freePort, startProgram } from "./support/process.js";

const EXAMPLES = path.resolve(process.env.EXAMPLES ?? path.join(ROOT, "target/examples"));
const HANDSHAKE = "/socket.io/?EIO=4&transport=polling";

describe("a server on Boost.Beast", () => {
  let program;
  before(async () => (program = await startProgram(path.join(EXAMPLES, "beast"))));
  after(() => program.stop());

  const sessions = async () => Number((await request(program.port, "GET", "/sessions")).text);
  const sessionsBecome = async (count) => {
    for (let waited = 0; (await sessions()) !== count; waited += 1) {
      assert.ok(waited < 2000, `${await sessions()} sessions, and not ${count}`);
      await sleep(10);
    }
  };

  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    test(`serves Socket.IO over ${name}`, async () => {
      const clients = new Clients(program.url, { transports });
      try {
        const socket = clients.create();
        await event(socket, "connect", { rejectOn: "connect_error" });
        if (name === "upgrade") await upgraded(socket);
        const big = Buffer.alloc(100_000, "x");
        assert.deepEqual(await socket.timeout(20_000).emitWithAck("echo", "hi", { big }), "hi");
        socket.emit("echo", 1, "ü");
        assert.deepEqual(await event(socket, "echo"), [1, "ü"]);
        for (let i = 0; i < 50; i += 1) {
          assert.equal(await socket.timeout(20_000).emitWithAck("n", i), i);
        }
        await sessionsBecome(1);
      } finally {
        clients.closeAll();
      }
      await sessionsBecome(0);
    });
  }

  test("keeps its own routes", async () => {
    assert.match((await request(program.port, "GET", "/")).text, /^Boost.Beast/);
    assert.equal((await request(program.port, "GET", "/nothing")).status, 404);
  });

  test("hands the engine's refusals on", async () => {
    const refused = await request(program.port, "GET", "/socket.io/?EIO=4&transport=none");
    assert.equal(refused.status, 400);
    assert.equal(refused.text, '{"code":0,"message":"Transport unknown"}');
    const large = await request(program.port, "POST", HANDSHAKE, { body: "x".repeat(1_100_000) });
    assert.equal(large.status, 413);
  });

  test("tells the engine of a client that leaves during a poll", async () => {
    const { text } = await request(program.port, "GET", HANDSHAKE);
    const target = `${HANDSHAKE}&sid=${JSON.parse(text.slice(1)).sid}`;
    await request(program.port, "POST", target, { body: "40" });
    await request(program.port, "GET", target);
    await sessionsBecome(1);
    const poll = net.connect(program.port, "127.0.0.1");
    poll.write(`GET ${target} HTTP/1.1\r\nHost: test\r\n\r\n`);
    await sleep(50);
    assert.equal(await sessions(), 1);
    poll.destroy();
    await sessionsBecome(0);
  });

  test("reads what follows an upgrade at once", async () => {
    const socket = net.connect(program.port, "127.0.0.1");
    const frame = Buffer.concat([Buffer.from([0x81, 0x82, 0, 0, 0, 0]), Buffer.from("40")]);
    const head =
      "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write(Buffer.concat([Buffer.from(head), frame]));
    let received = "";
    socket.on("data", (chunk) => (received += chunk.toString("latin1")));
    await sessionsBecome(1);
    for (let waited = 0; !received.includes('40{"sid":') && waited < 2000; waited += 1) await sleep(10);
    assert.match(received, /^HTTP\/1.1 101 .*40\{"sid":/s);
    socket.destroy();
    await sessionsBecome(0);
  });
});

describe("a server that terminates TLS itself", () => {
  let folder, program, ca;
  before(async () => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), "sockeye-tls-"));
    const [key, cert] = ["key.pem", "cert.pem"].map((name) => path.join(folder, name));
    const subject = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"];
    const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"];
    execFileSync("openssl", ["req", "-x509", ...kind, "-keyout", key, "-out", cert, ...subject], { stdio: "ignore" });
    ca = fs.readFileSync(cert);
    program = new Program(path.join(EXAMPLES, "tls"), [], { CERT: cert, KEY: key }, await freePort());
    for (let waited = 0; !program.stdout.includes("https://") && waited < 2000; waited += 1) await sleep(10);
    assert.match(program.stdout, /https/, program.stderr);
  });
  after(async () => {
    fs.rmSync(folder, { recursive: true });
    await program.stop();
  });

  for (const [name, transports] of Object.entries(TRANSPORTS)) {
    test(`serves Socket.IO over ${name}`, async () => {
      const clients = new Clients(program.url.replace("http", "https"), { transports, ca });
      try {
        const socket = clients.create();
        await event(socket, "connect", { rejectOn: "connect_error" });
        if (name === "upgrade") await upgraded(socket);
        for (let i = 0; i < 50; i += 1) assert.equal(await socket.timeout(20_000).emitWithAck("n", i), i);
        // More than the program keeps of a client in either direction.
        const big = Buffer.alloc(700_000, "x");
        const { data } = await socket.timeout(20_000).emitWithAck("big", { data: big });
        assert.ok(big.equals(data));
        const many = await Promise.all(Array.from({ length: 200 }, (_, i) => socket.timeout(20_000).emitWithAck("n", "y".repeat(10_000) + i)));
        assert.ok(many.every((text, i) => text === "y".repeat(10_000) + i));
      } finally {
        clients.closeAll();
      }
    });
  }

  test("keeps connections for several requests, and closes them in order", async () => {
    const agent = new https.Agent({ ca, keepAlive: true, maxSockets: 1 });
    const get = (headers) =>
      new Promise((resolve, reject) => {
        const options = { agent, headers, port: program.port, host: "127.0.0.1", path: HANDSHAKE };
        const outgoing = https.get(options, (response) => {
          const { localPort } = response.socket;
          response.resume().once("end", () => resolve({ status: response.statusCode, localPort }));
        });
        outgoing.once("error", reject);
      });
    const first = await get({});
    const second = await get({ connection: "close" });
    const third = await get({});
    agent.destroy();
    assert.deepEqual([first.status, second.status, third.status], [200, 200, 200]);
    assert.equal(first.localPort, second.localPort);
    assert.notEqual(second.localPort, third.localPort);
  });

  test("survives clients that leave at any moment", async () => {
    for (let bytes = 0; bytes < 40; bytes += 1) {
      const raw = net.connect(program.port, "127.0.0.1");
      raw.on("error", () => {});
      raw.write("GET / HTTP/1.1\r\nHost: plain\r\n\r\n".slice(0, bytes));
      const secure = tls.connect({ port: program.port, host: "127.0.0.1", ca });
      secure.on("error", () => {});
      secure.write(`GET ${HANDSHAKE} HTTP/1.1\r\nHost: test\r\n\r\n`.slice(0, bytes * 2));
      await sleep(bytes % 5);
      raw.resetAndDestroy();
      secure.destroy();
    }
    const clients = new Clients(program.url.replace("http", "https"), { ca });
    try {
      const socket = clients.create();
      await event(socket, "connect", { rejectOn: "connect_error" });
      assert.equal(await socket.timeout(20_000).emitWithAck("still", "here"), "here");
    } finally {
      clients.closeAll();
    }
  });
});
