/**
 * What the Engine.IO text leaves open and the official server does. The number before each test is that of the item
 * in section 2 of the notes on server behaviour; clients depend on these, so they are behaviour, not accidents.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Clients, event, settled } from "./support/client.js";
import { serverContext } from "./support/matrix.js";
import { startTestbed } from "./support/process.js";
import { Frames, Polling, request, SEPARATOR } from "./support/wire.js";

// More than a loaded machine delays a timer by, and less than the timers that the server has of itself.
const SOON_MS = 5_000;

/** A session that upgraded from polling to `frames`. */
async function upgraded(port) {
  const session = await Polling.open(port);
  const frames = await probing(port, session);
  frames.send("5");
  await frames.join();
  return { session, frames };
}

/** The candidate of `session`, its probe answered. */
async function probing(port, session) {
  const frames = await Frames.candidate(port, session.sid);
  frames.send("2probe");
  assert.equal(await frames.text(), "3probe");
  return frames;
}

describe("upgrades", () => {
  const context = serverContext({ SHARDS: "1" });
  const open = () => Polling.open(context.testbed.port);

  test("1: a held poll is released by a noop about 100 ms after the probe", async () => {
    const session = await open();
    const held = await session.hold();
    const frames = await probing(context.testbed.port, session);
    const start = Date.now();
    assert.deepEqual(await held.packets, ["6"]);
    assert.ok(Date.now() - start < SOON_MS);
    assert.deepEqual(await session.packets(), ["6"], "and so is the next one, as long as the upgrade takes");
    frames.close();
  });

  test("2: messages still go to a held poll until the client completes the upgrade", async () => {
    const session = await open();
    await session.join();
    const frames = await probing(context.testbed.port, session);
    await session.post('42["message","during"]');
    const packets = await session.take(1);
    while (packets.at(-1) === "6") packets.push(...(await session.take(1)));
    assert.equal(packets.at(-1), '42["message-back","during"]');
    assert.ok(await frames.silent(30));
    frames.close();
  });

  for (const packet of ["4hello", "2", "2other", "zzz"]) {
    test(`3: a candidate that begins with ${packet} is closed, and polling goes on`, async () => {
      const session = await open();
      const frames = await Frames.candidate(context.testbed.port, session.sid);
      frames.send(packet);
      assert.equal(await frames.closed(), 1005);
      assert.equal(connectedId((await session.join())[0]).length, 20);
    });
  }

  test("4: a second candidate is closed, and the first goes on", async () => {
    const session = await open();
    const frames = await probing(context.testbed.port, session);
    const second = new Frames(context.testbed.port, { query: `EIO=4&transport=websocket&sid=${session.sid}` });
    assert.equal(await second.closed(), 1005);
    frames.send("5");
    await frames.join();
    const third = new Frames(context.testbed.port, { query: `EIO=4&transport=websocket&sid=${session.sid}` });
    assert.equal(await third.closed(), 1005);
    frames.send('42["message"]');
    assert.equal(await frames.text(), '42["message-back"]');
    frames.close();
  });

  test("5: polling an upgraded session is refused with code 3 and does no harm", async () => {
    const { session, frames } = await upgraded(context.testbed.port);
    assert.equal(await session.refusal(), 3);
    assert.equal(JSON.parse((await session.poll()).text).code, 3);
    frames.send('42["message"]');
    assert.equal(await frames.text(), '42["message-back"]');
    frames.close();
  });

  test("13: an upgrade packet, an open packet, a noop and a stray pong on an open WebSocket are ignored", async () => {
    const { frames } = await upgraded(context.testbed.port);
    for (const packet of ["0", "5", "6", "3", "1"]) frames.send(packet);
    frames.send('42["message"]');
    assert.equal(await frames.text(), '42["message-back"]');
    frames.close();
  });
});

describe("upgradeTimeout", () => {
  const context = serverContext({ UPGRADE_TIMEOUT: "1500" });

  test("3: a candidate that does not finish within upgradeTimeout is closed, and polling goes on", async () => {
    const session = await Polling.open(context.testbed.port);
    const start = Date.now();
    const frames = await probing(context.testbed.port, session);
    assert.equal(await frames.closed(), 1005);
    assert.ok(Date.now() - start > 1400);
    await session.post("40");
    assert.ok((await session.take(2)).some((packet) => packet.startsWith("40{")));
  });
});

// OFFICIAL=1 runs these files against an official server, which has no such limit.
const ours = { skip: process.env.OFFICIAL === "1" };

describe("where the official server is unsafe and no conforming client can tell", ours, () => {
  const context = serverContext();

  test("4: a WebSocket session cannot be taken over by whoever learns its id", async () => {
    const frames = await Frames.joined(context.testbed.port);
    const thief = new Frames(context.testbed.port, { query: `EIO=4&transport=websocket&sid=${frames.sid}` });
    thief.socket.once("open", () => {
      thief.send("2probe");
      thief.send("5");
    });
    const end = await thief.next();
    assert.ok(end.close || end.refused, JSON.stringify(end));
    frames.send('42["message","mine"]');
    assert.equal(await frames.text(), '42["message-back","mine"]');
    frames.close();
  });
});

describe("upgrades that are not advertised", () => {
  const context = serverContext({ ALLOW_UPGRADES: "0" });

  test("6: succeed all the same", async () => {
    const session = await Polling.open(context.testbed.port);
    assert.deepEqual(session.open.upgrades, []);
    const frames = await probing(context.testbed.port, session);
    frames.send("5");
    assert.equal(connectedId((await frames.join())[0]).length, 20);
    frames.close();
  });
});

describe("requests", () => {
  const context = serverContext({ SHARDS: "1", MAX_HTTP_BUFFER_SIZE: "2000" });
  const open = (options) => Polling.open(context.testbed.port, options);

  test("9: a second poll ends the session; the held one gets a close packet", async () => {
    const session = await open();
    const held = await session.hold();
    assert.equal((await session.poll()).status, 400);
    assert.deepEqual(await held.packets, ["1"]);
    assert.equal(await session.refusal(), 1);
  });

  test("9: a second post beside an unfinished one ends the session", async () => {
    const session = await open();
    const slow = net.connect(context.testbed.port, "127.0.0.1");
    slow.on("error", () => {});
    slow.write(`POST ${session.target()} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n`);
    // It is there once it is told to go on.
    await once(slow, "data");
    slow.write("4");
    const second = await session.post("40");
    assert.deepEqual([second.status, second.text], [400, ""]);
    assert.equal(await session.refusal(), 1);
    slow.destroy();
  });

  test("10: a body over the limit is refused with 413, and the session goes on", async () => {
    const session = await open();
    assert.equal((await session.post(`4${"x".repeat(2000)}`)).status, 413);
    assert.equal(connectedId((await session.join())[0]).length, 20);
  });

  test("10: so is one whose length is not told in advance", async () => {
    const session = await open();
    const answer = await request(context.testbed.port, "POST", session.target(), {
      headers: { "transfer-encoding": "chunked" },
      body: `4${"x".repeat(3000)}`,
    });
    assert.equal(answer.status, 413);
    assert.equal(connectedId((await session.join())[0]).length, 20);
  });

  test("10: a WebSocket message over the limit closes with 1009", async () => {
    const frames = await Frames.joined(context.testbed.port);
    frames.send(`42["message","${"x".repeat(2000)}"]`);
    assert.equal(await frames.closed(), 1009);
  });

  test("11: an empty body ends the session", async () => {
    const session = await open();
    assert.equal((await session.post("")).text, "ok");
    assert.equal(await session.refusal(), 1);
  });

  test("11: nothing behind a bad packet is read", async () => {
    const witness = await Frames.joined(context.testbed.port);
    const session = await open();
    await session.join();
    await session.post(["zzz", '42["bcast","behind"]'].join(SEPARATOR));
    assert.equal(await session.refusal(), 1);
    assert.ok(await witness.silent(50));
    witness.close();
  });

  test("38: a handshake parameter may come twice: the last one counts", async () => {
    const get = (query) => request(context.testbed.port, "GET", `/socket.io/?${query}`);
    assert.equal((await get("EIO=3&EIO=4&transport=abc&transport=polling")).status, 200);
    assert.equal(JSON.parse((await get("EIO=4&EIO=3&transport=polling")).text).code, 5);
  });

  test("37: the path is a prefix", async () => {
    const get = (path) => request(context.testbed.port, "GET", path);
    assert.equal((await get("/socket.io/anything?EIO=4&transport=polling")).status, 200);
    assert.equal((await get("/socket.io?EIO=4&transport=polling")).status, 404);
    assert.equal((await get("/socket.iox/?EIO=4&transport=polling")).status, 404);
  });

  test("38: every revision but 4, and none at all, counts as 3", async () => {
    for (const query of ["EIO=5", "EIO=4.0", "EIO=+4", "x=1"]) {
      const answer = await request(context.testbed.port, "GET", `/socket.io/?${query}&transport=polling`);
      assert.equal(JSON.parse(answer.text).code, 5, query);
    }
  });

  test("42: JSONP takes the digits of its index and keeps the content type", async () => {
    const first = await request(context.testbed.port, "GET", "/socket.io/?EIO=4&transport=polling&j=5x7");
    assert.match(first.text, /^___eio\[57\]\("0\{.*\}"\);$/);
    assert.equal(first.headers["content-type"], "text/plain; charset=UTF-8");
  });

  test("45: answers are never stored, and old browsers get their header", async () => {
    const plain = await open();
    assert.equal(plain.handshake.headers["cache-control"], "no-store");
    assert.equal(plain.handshake.headers["x-xss-protection"], undefined);
    for (const agent of ["Mozilla/4.0 (compatible;MSIE 8.0)", "Mozilla/5.0 (Windows NT; Trident/7.0; rv:11.0)"]) {
      const { handshake } = await open({ headers: { "user-agent": agent } });
      assert.equal(handshake.headers["x-xss-protection"], "0");
    }
  });

  test("another revision on a session of revision 4 is refused with code 3", async () => {
    const session = await open();
    const answer = await request(context.testbed.port, "GET", session.target().replace("EIO=4", "EIO=3"));
    assert.equal(JSON.parse(answer.text).code, 3);
    assert.equal(await session.refusal(), null);
  });
});

describe("closing", () => {
  const context = serverContext();

  test("12: a close without a held poll waits for the next ones", async () => {
    const session = await Polling.open(context.testbed.port);
    await session.join();
    await session.post('42["kick"]');
    const packets = [];
    while (packets.at(-1) !== "1") packets.push(...(await session.packets()));
    assert.deepEqual(
      packets.filter((packet) => packet !== "6"),
      ["41", "1"],
    );
    assert.equal(await session.refusal(), 1);
  });

  test("13: a close packet on WebSocket is ignored", async () => {
    const frames = await Frames.joined(context.testbed.port);
    frames.send("1");
    frames.send('42["message"]');
    assert.equal(await frames.text(), '42["message-back"]');
    frames.close();
  });

  test("16: the server's close frames carry no code", async () => {
    for (const name of ["kick", "drop"]) {
      const frames = await Frames.joined(context.testbed.port);
      frames.send(`42["${name}"]`);
      if (name === "kick") assert.equal(await frames.text(), "41");
      assert.equal(await frames.closed(), 1005, name);
    }
  });

  test("17: a server that ends sends no DISCONNECT: WebSockets close, held polls get a close packet", async () => {
    const server = await startTestbed({ SHARDS: "1" });
    const frames = await Frames.joined(server.port);
    const session = await Polling.open(server.port);
    await session.join();
    const held = await session.hold();
    await server.stop();
    assert.equal(await frames.closed(), 1005);
    assert.deepEqual(await held.packets, ["1"]);
  });
});

describe("heartbeat", { concurrency: true }, () => {
  const context = serverContext({ PING_INTERVAL: "300", PING_TIMEOUT: "2000" });

  test("14: a ping from the client ends the session", async () => {
    const frames = await Frames.joined(context.testbed.port);
    frames.send("2");
    let end = await frames.next();
    if (end.text === "2") end = await frames.next();
    assert.equal(end.close, 1005);
  });

  test("15: the next ping comes an interval after the pong, not after the last ping", async () => {
    const frames = await Frames.open(context.testbed.port);
    assert.equal(await frames.text(), "2");
    await sleep(150);
    const start = Date.now();
    frames.send("3");
    assert.equal(await frames.text(), "2");
    assert.ok(Date.now() - start >= 280, `after ${Date.now() - start} ms`);
    frames.close();
  });

  test("0.1: another packet while a pong is due restarts the timeout, once", async () => {
    const frames = await Frames.joined(context.testbed.port);
    assert.equal(await frames.text(), "2");
    const start = Date.now();
    const busy = setInterval(() => frames.send('42["nobody"]'), 150);
    const code = await frames.closed();
    clearInterval(busy);
    assert.equal(code, 1005);
    assert.ok(Date.now() - start >= 2130, `closed after ${Date.now() - start} ms`);
  });

  test("44: a ping sent on polling may be answered on WebSocket after the upgrade", async () => {
    const session = await Polling.open(context.testbed.port);
    assert.deepEqual(await session.packets(), ["2"]);
    const frames = await probing(context.testbed.port, session);
    frames.send("5");
    frames.send("3");
    assert.equal(await frames.text(), "2");
    frames.close();
  });
});

describe("origins and transports", () => {
  test("8 and 46: no Origin is refused, and a disabled transport is unknown", async () => {
    const server = await startTestbed({ TRANSPORTS: "polling", CORS_ORIGIN: "http://good.example" });
    const foreign = { origin: "http://bad.example" };
    const { handshake, open } = await Polling.open(server.port, { headers: foreign });
    assert.equal(handshake.headers["access-control-allow-origin"], "http://good.example");
    assert.deepEqual(open.upgrades, []);
    const frame = await new Frames(server.port, { headers: foreign }).next();
    assert.equal(frame.refused?.status, 400);
    await server.stop();
  });

  test("8: a WebSocket from a foreign page opens", async () => {
    const server = await startTestbed({ CORS_ORIGIN: "http://good.example" });
    const clients = new Clients(server.url, {
      transports: ["websocket"],
      extraHeaders: { origin: "http://bad.example" },
    });
    const socket = await clients.connect();
    await settled(socket);
    const gone = event(socket, "disconnect");
    await server.stop();
    assert.equal((await gone)[0], "transport close");
  });
});

/** The socket id of a CONNECT answer. */
function connectedId(packet) {
  assert.match(packet, /^40\{"sid":"[\w-]{20}"\}$/);
  return packet.slice(8, 28);
}
