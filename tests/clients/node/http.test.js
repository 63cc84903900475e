/** The HTTP side of the server: options that change answers, the served client, and requests that no client sends. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync, gunzipSync, inflateSync } from "node:zlib";

import { Clients, eventually } from "./support/client.js";
import { rawExchange, request } from "./support/http.js";
import { runTestbed, startTestbed } from "./support/process.js";
import { Frames, Polling } from "./support/wire.js";

const CLIENT_DIR = path.join(path.dirname(fileURLToPath(import.meta.url)), "node_modules/socket.io-client");
const HANDSHAKE = "/socket.io/?EIO=4&transport=polling";

/** A testbed for the tests of the enclosing `describe`. */
function server(env, options) {
  const context = {};
  before(async () => (context.testbed = await startTestbed(env, options)));
  after(() => context.testbed?.stop());
  context.request = (method, target, more) => request(context.testbed.port, method, target, more);
  return context;
}

/** A polling session in which a poll will find one event of `length` characters. */
async function sessionWithEvent(port, length) {
  const session = await Polling.open(port);
  await session.join();
  await session.post(`42["message","${"x".repeat(length)}"]`);
  return session;
}

describe("CORS, off", () => {
  const context = server({});

  test("adds no header, and refuses no origin", async () => {
    const { status, headers } = await context.request("GET", HANDSHAKE, { headers: { origin: "http://any.example" } });
    assert.equal(status, 200);
    assert.deepEqual(
      Object.keys(headers).filter((name) => name.startsWith("access-control") || name === "vary"),
      [],
    );
  });

  test("leaves a preflight to the rules for handshakes", async () => {
    const answer = await context.request("OPTIONS", HANDSHAKE, { headers: { origin: "http://any.example" } });
    assert.deepEqual([answer.status, JSON.parse(answer.text).code], [400, 2]);
  });
});

describe("CORS, any origin", () => {
  const context = server({ CORS_ORIGIN: "*" });

  test("is said with a star and without Vary", async () => {
    const { headers } = await context.request("GET", HANDSHAKE, { headers: { origin: "http://any.example" } });
    assert.equal(headers["access-control-allow-origin"], "*");
    assert.equal(headers.vary, undefined);
    assert.equal(headers["access-control-allow-credentials"], undefined);
  });

  test("lets a preflight ask for headers", async () => {
    const { status, headers, text } = await context.request("OPTIONS", HANDSHAKE, {
      headers: {
        origin: "http://any.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-one, x-two",
      },
    });
    assert.deepEqual([status, text, headers["content-length"]], [204, "", "0"]);
    assert.equal(headers["access-control-allow-methods"], "GET,HEAD,PUT,PATCH,POST,DELETE");
    assert.equal(headers["access-control-allow-headers"], "x-one, x-two");
    assert.equal(headers.vary, "Access-Control-Request-Headers");
  });
});

describe("CORS, a list of origins with credentials", () => {
  const context = server({ CORS_ORIGIN: "http://one.example,http://two.example", CORS_CREDENTIALS: "1" });

  for (const origin of ["http://one.example", "http://two.example"]) {
    test(`reflects ${origin}`, async () => {
      const { headers } = await context.request("GET", HANDSHAKE, { headers: { origin } });
      assert.equal(headers["access-control-allow-origin"], origin);
      assert.equal(headers["access-control-allow-credentials"], "true");
      assert.equal(headers.vary, "Origin");
    });
  }

  test("does not reflect a foreign origin, and answers all the same", async () => {
    const { status, headers } = await context.request("GET", HANDSHAKE, {
      headers: { origin: "http://one.example.evil" },
    });
    assert.equal(status, 200);
    assert.equal(headers["access-control-allow-origin"], undefined);
    assert.equal(headers.vary, "Origin");
  });

  test("covers errors and the answers of a session", async () => {
    const headers = { origin: "http://two.example" };
    const session = await Polling.open(context.testbed.port, { headers });
    for (const answer of [
      await session.post("40", headers),
      await session.poll({ headers }),
      await context.request("GET", "/socket.io/", { headers }),
    ]) {
      assert.equal(answer.headers["access-control-allow-origin"], "http://two.example");
    }
  });
});

describe("the cookie", () => {
  const cookieOf = async (COOKIE, query = "transport=polling") => {
    const testbed = await startTestbed({ COOKIE });
    const answer = await request(testbed.port, "GET", `/socket.io/?EIO=4&${query}`);
    const { sid } = JSON.parse(answer.text.slice(1));
    const later = await request(testbed.port, "POST", `/socket.io/?EIO=4&transport=polling&sid=${sid}`, { body: "40" });
    await testbed.stop();
    assert.equal(later.headers["set-cookie"], undefined, "only the handshake sets it");
    return answer.headers["set-cookie"]?.map((line) => line.replace(sid, "<sid>"));
  };

  test("is off by default", async () => {
    assert.equal(await cookieOf("false"), undefined);
  });

  test("has the official name and attributes when it is just on", async () => {
    assert.deepEqual(await cookieOf("true"), ["io=<sid>; Path=/; HttpOnly; SameSite=Lax"]);
  });

  test("takes its attributes from the option", async () => {
    const option = { name: "route", path: "/chat", httpOnly: false, sameSite: "strict", maxAge: 60, secure: true };
    const [line] = await cookieOf(JSON.stringify(option));
    assert.deepEqual(
      line.split("; ").sort(),
      ["Max-Age=60", "Path=/chat", "SameSite=Strict", "Secure", "route=<sid>"].sort(),
    );
  });

  test("36: is set on polling handshakes only", async () => {
    const testbed = await startTestbed({ COOKIE: "true" });
    const frames = new Frames(testbed.port);
    const upgrade = new Promise((resolve) => frames.socket.once("upgrade", resolve));
    assert.equal((await upgrade).headers["set-cookie"], undefined);
    await frames.next();
    frames.close();
    await testbed.stop();
  });
});

describe("43: compression of polling answers", () => {
  const context = server({});
  const decode = { gzip: gunzipSync, deflate: inflateSync };

  for (const [accepted, encoding] of [
    ["gzip", "gzip"],
    ["deflate", "deflate"],
    ["gzip, deflate, br", "gzip"],
    ["gzip;q=0, deflate", "deflate"],
  ]) {
    test(`"${accepted}" gives ${encoding} from 1024 bytes on`, async () => {
      const session = await sessionWithEvent(context.testbed.port, 2000);
      const answer = await session.poll({ headers: { "accept-encoding": accepted } });
      assert.equal(answer.headers["content-encoding"], encoding);
      assert.equal(decode[encoding](answer.body).toString(), `42["message-back","${"x".repeat(2000)}"]`);
    });
  }

  for (const accepted of [undefined, "identity", "br", "gzip;q=0"]) {
    test(`"${accepted}" gives plain text`, async () => {
      const session = await sessionWithEvent(context.testbed.port, 2000);
      const answer = await session.poll({ headers: accepted ? { "accept-encoding": accepted } : {} });
      assert.equal(answer.headers["content-encoding"], undefined);
      assert.equal(answer.text, `42["message-back","${"x".repeat(2000)}"]`);
    });
  }

  test("leaves short answers alone", async () => {
    const session = await sessionWithEvent(context.testbed.port, 500);
    const answer = await session.poll({ headers: { "accept-encoding": "gzip" } });
    assert.equal(answer.headers["content-encoding"], undefined);
  });

  test("is not done when the event says so", async () => {
    const session = await Polling.open(context.testbed.port);
    await session.join();
    const command = { op: "emit", flags: { compress: false }, event: "big", args: ["x".repeat(2000)] };
    await session.post(`42["cmd",${JSON.stringify(command)}]`);
    const answer = await session.poll({ headers: { "accept-encoding": "gzip" } });
    assert.equal(answer.headers["content-encoding"], undefined);
  });

  test("can be switched off", async () => {
    const testbed = await startTestbed({ HTTP_COMPRESSION: "0" });
    const session = await sessionWithEvent(testbed.port, 2000);
    const answer = await session.poll({ headers: { "accept-encoding": "gzip" } });
    assert.equal(answer.headers["content-encoding"], undefined);
    await testbed.stop();
  });
});

describe("1.8: the served client", () => {
  const context = server({ CLIENT_DIR });
  const { version } = JSON.parse(readFileSync(path.join(CLIENT_DIR, "package.json"), "utf8"));
  const file = (name) => readFileSync(path.join(CLIENT_DIR, "dist", name));
  const SCRIPTS = ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"];

  for (const name of [...SCRIPTS, ...SCRIPTS.map((script) => `${script}.map`)]) {
    test(`has ${name}`, async () => {
      const answer = await context.request("GET", `/socket.io/${name}`);
      assert.equal(answer.status, 200);
      assert.ok(answer.body.equals(file(name)));
      const type = name.endsWith(".map") ? "json" : "javascript";
      assert.equal(answer.headers["content-type"], `application/${type}; charset=utf-8`);
      assert.equal(answer.headers["cache-control"], "public, max-age=0");
      assert.equal(answer.headers.etag, `"${version}"`);
    });
  }

  for (const etag of [`"${version}"`, `W/"${version}"`]) {
    test(`is not sent again to who has ${etag}`, async () => {
      const answer = await context.request("GET", "/socket.io/socket.io.js", { headers: { "if-none-match": etag } });
      assert.deepEqual([answer.status, answer.text], [304, ""]);
    });
  }

  test("is sent to who has another version", async () => {
    const answer = await context.request("GET", "/socket.io/socket.io.js", { headers: { "if-none-match": '"0.0.1"' } });
    assert.equal(answer.status, 200);
  });

  for (const [accepted, encoding, decode] of [
    ["br, gzip, deflate", "br", brotliDecompressSync],
    ["gzip, deflate", "gzip", gunzipSync],
    ["deflate", "deflate", inflateSync],
  ]) {
    test(`comes as ${encoding} to who accepts ${accepted}`, async () => {
      const answer = await context.request("GET", "/socket.io/socket.io.min.js", {
        headers: { "accept-encoding": accepted },
      });
      assert.equal(answer.headers["content-encoding"], encoding);
      assert.ok(decode(answer.body).equals(file("socket.io.min.js")));
    });
  }

  for (const name of [
    "socket.io.esm.js",
    "socket.io.msgpack.js",
    "socket.ioXjs",
    "../package.json",
    "%2e%2e/package.json",
    "package.json",
  ]) {
    test(`has no ${name}`, async () => {
      const answer = await context.request("GET", `/socket.io/${name}`);
      assert.ok([400, 404].includes(answer.status));
      assert.ok(!answer.text.includes("socket.io-client"));
    });
  }

  test("leaves handshakes alone", async () => {
    assert.equal((await context.request("GET", HANDSHAKE)).status, 200);
  });
});

describe("paths", () => {
  test("SIO_PATH moves the server", async () => {
    const testbed = await startTestbed(
      { SIO_PATH: "/games/live" },
      { readyPath: "/games/live/?EIO=4&transport=polling" },
    );
    assert.equal((await request(testbed.port, "GET", HANDSHAKE)).status, 404);
    const clients = new Clients(testbed.url, { path: "/games/live" });
    const socket = await clients.connect();
    assert.equal(await socket.emitWithAck("ack", 1), 1);
    clients.closeAll();
    await testbed.stop();
  });

  test("TRAILING_SLASH=0 takes both spellings", async () => {
    const testbed = await startTestbed({ TRAILING_SLASH: "0" });
    for (const target of [HANDSHAKE, HANDSHAKE.replace("/?", "?")]) {
      assert.equal((await request(testbed.port, "GET", target)).status, 200, target);
    }
    await testbed.stop();
  });

  test("TRANSPORTS=websocket leaves polling out", async () => {
    const testbed = await startTestbed({ TRANSPORTS: "websocket" });
    assert.equal(JSON.parse((await request(testbed.port, "GET", HANDSHAKE)).text).code, 0);
    const frames = await Frames.joined(testbed.port);
    frames.close();
    await testbed.stop();
  });
});

describe("requests beyond the ordinary", () => {
  const context = server({});

  test("one connection carries a whole session", async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const { port } = context.testbed;
    const { text } = await request(port, "GET", HANDSHAKE, { agent });
    const target = `${HANDSHAKE}&sid=${JSON.parse(text.slice(1)).sid}`;
    for (let round = 0; round < 20; round += 1) {
      assert.equal((await request(port, "POST", target, { agent, body: round ? '42["message"]' : "40" })).text, "ok");
      assert.equal((await request(port, "GET", target, { agent })).status, 200);
    }
    agent.destroy();
  });

  test("two requests in one segment are answered in order", async () => {
    const get = (target) => `GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const both = /^HTTP\/1\.1 200 OK[\s\S]*0\{"sid"[\s\S]*HTTP\/1\.1 400 Bad Request[\s\S]*"code":0/;
    assert.match(await rawExchange(context.testbed.port, get(HANDSHAKE) + get("/socket.io/?EIO=4&transport=x"), { until: both }), both);
  });

  test("a request that comes byte by byte is read", async () => {
    const session = await Polling.open(context.testbed.port);
    const body = "40";
    const bytes = `POST ${session.target()} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const socket = net.connect(context.testbed.port, "127.0.0.1");
    let answer = "";
    socket.on("data", (chunk) => (answer += chunk));
    for (const byte of bytes) {
      socket.write(byte);
      await sleep(1);
    }
    await eventually(() => answer.endsWith("ok"));
    socket.destroy();
    assert.match(answer, /^HTTP\/1\.1 200 OK[\s\S]*ok$/);
  });

  test("a body in chunks is read", async () => {
    const session = await Polling.open(context.testbed.port);
    const answer = await request(context.testbed.port, "POST", session.target(), {
      headers: { "transfer-encoding": "chunked" },
      body: "40",
    });
    assert.equal(answer.text, "ok");
    assert.match((await session.take(2))[0], /^40\{"sid"/);
  });

  test("a client that waits for 100 Continue gets it", async () => {
    const session = await Polling.open(context.testbed.port);
    const head = `POST ${session.target()} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n`;
    const goesOn = /^HTTP\/1\.1 100 Continue\r\n\r\n/;
    assert.match(await rawExchange(context.testbed.port, head, { until: goesOn }), goesOn);
  });

  for (const [label, bytes] of [
    ["no HTTP at all", "hello\r\n\r\n"],
    ["a version that does not exist", "GET / HTTP/9.9\r\nHost: x\r\n\r\n"],
    ["both lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ["two lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n40"],
    ["a negative length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\n40"],
    ["a header without name", "GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n"],
    ["a head without end", `GET / HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(100_000)}\r\n\r\n`],
  ]) {
    test(`${label} is refused, and the server goes on`, async () => {
      const answer = await rawExchange(context.testbed.port, bytes, { quietMs: 500 }).catch(() => "");
      assert.match(answer, /^(HTTP\/1\.1 [45]\d\d |$)/);
      assert.equal((await context.request("GET", HANDSHAKE)).status, 200);
    });
  }

  test("a poll whose client goes away ends that session only", async () => {
    const session = await Polling.open(context.testbed.port);
    await session.join();
    const held = session.poll({ timeoutMs: 50 }).catch(() => "gone");
    assert.equal(await held, "gone");
    await eventually(async () => (await session.refusal()) === 1);
    assert.equal((await context.request("GET", HANDSHAKE)).status, 200);
  });
});

describe("an environment that the testbed does not know", () => {
  for (const env of [{ DELIVERY: "carrier-pigeon" }, { ADAPTER: "carrier-pigeon" }, { PING_INTERVAL: "soon" }]) {
    test(`${JSON.stringify(env)} is an error and exit 2`, async () => {
      const { code, stderr } = await runTestbed(env);
      assert.equal(code, 2);
      assert.notEqual(stderr, "");
    });
  }
});
