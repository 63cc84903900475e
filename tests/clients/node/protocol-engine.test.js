/**
 * Engine.IO revision 4 against the bare echo server, packet by packet: handshake, messages, heartbeat, close and
 * upgrade. Sections cited are those of the Engine.IO protocol description.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { DELIVERIES, startTestbed } from "./support/process.js";
import { Frames, Polling, request, SEPARATOR } from "./support/wire.js";

const PATH = "/engine.io/";
const PING_INTERVAL_MS = 300;
const PING_TIMEOUT_MS = 2_000;
// A loaded machine may delay a timer by this much.
const SLACK_MS = 1_500;

/** An echo server whose timers never fire by themselves within a test, unless `env` says so. */
function echoServer(env = {}) {
  const server = {};
  before(async () => {
    server.program = await startTestbed({ ENGINE_ONLY: "1", SHARDS: "1", ...env }, { readyPath: `${PATH}?EIO=4&transport=polling` });
    server.port = server.program.port;
  });
  after(() => server.program?.stop());
  return server;
}

const openPolling = (server) => Polling.open(server.port, { path: PATH });
const openWebSocket = (server) => Frames.open(server.port, { path: PATH });
const candidateOf = async (server, session) => {
  const frames = new Frames(server.port, { path: PATH, query: `EIO=4&transport=websocket&sid=${session.sid}` });
  await new Promise((resolve, reject) => frames.socket.once("open", resolve).once("error", reject));
  return frames;
};

describe("handshake", () => {
  const server = echoServer({ PING_INTERVAL: "300", PING_TIMEOUT: "200" });
  const get = (query, method = "GET") => request(server.port, method, `${PATH}?${query}`);

  test("polling opens a session and tells its terms", async () => {
    const { text } = await get("EIO=4&transport=polling");
    assert.match(
      text,
      /^0\{"sid":"[\w-]{20}","upgrades":\["websocket"\],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000\}$/,
    );
  });

  test("WebSocket opens a session and tells its terms", async () => {
    const frames = await openWebSocket(server);
    const { sid, ...terms } = frames.open;
    assert.match(sid, /^[\w-]{20}$/);
    assert.deepEqual(terms, { upgrades: [], pingInterval: 300, pingTimeout: 200, maxPayload: 1000000 });
    frames.close();
  });

  test("every session has an id of its own", async () => {
    const sessions = await Promise.all(Array.from({ length: 50 }, () => openPolling(server)));
    assert.equal(new Set(sessions.map(({ sid }) => sid)).size, 50);
  });

  for (const [query, code] of [
    ["transport=polling", 5],
    ["EIO=abc&transport=polling", 5],
    ["EIO=3&transport=polling", 5],
    ["EIO=04&transport=polling", 5],
    ["EIO=&transport=polling", 5],
    ["EIO=4", 0],
    ["EIO=4&transport=", 0],
    ["EIO=4&transport=abc", 0],
    ["EIO=4&transport=constructor", 0],
    ["EIO=4&transport=polling&sid=unknown", 1],
    ["EIO=4&transport=websocket", 3],
  ]) {
    test(`GET ?${query} is refused with code ${code}`, async () => {
      const answer = await get(query);
      assert.equal(answer.status, 400);
      assert.equal(JSON.parse(answer.text).code, code);
    });
  }

  for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
    test(`${method} opens no session`, async () => {
      const answer = await get("EIO=4&transport=polling", method);
      assert.equal(answer.status, 400);
      assert.equal(JSON.parse(answer.text).code, 2);
    });
  }

  for (const [query, message] of [
    ["EIO=4&transport=abc", "Transport unknown"],
    ["EIO=4&transport=websocket&sid=unknown", "Session ID unknown"],
  ]) {
    test(`a WebSocket to ?${query} is refused with the text "${message}"`, async () => {
      const frames = new Frames(server.port, { path: PATH, query });
      const { refused } = await frames.next();
      assert.deepEqual([refused.status, refused.body], [400, message]);
    });
  }

  test("a WebSocket of another revision, or for another transport, opens no session", async () => {
    const queries = [
      "transport=websocket",
      "EIO=abc&transport=websocket",
      "EIO=3&transport=websocket",
      "EIO=4&transport=polling",
    ];
    for (const query of queries) {
      const frames = new Frames(server.port, { path: PATH, query });
      const frame = await frames.next();
      assert.ok(frame.refused?.status === 400 || frame.close, JSON.stringify(frame));
    }
  });

  test("another path belongs to the application", async () => {
    assert.equal((await request(server.port, "GET", "/other/?EIO=4&transport=polling")).status, 404);
  });
});

for (const delivery of DELIVERIES) {
  describe(`messages, delivered ${delivery}`, () => {
    const server = echoServer({ DELIVERY: delivery });

    for (const [label, packets] of [
      ["one text", ["4hello"]],
      ["an empty one", ["4"]],
      ["several texts", ["4first", "4second", "4third"]],
      ["text beyond ASCII", ["4€", "4😀", "4\u0000"]],
      ["text and binary", ["4hello", "bAQIDBA==", "4again"]],
      ["empty binary", ["b"]],
    ]) {
      test(`polling carries ${label} there and back`, async () => {
        const session = await openPolling(server);
        const answer = await session.post(packets.join(SEPARATOR));
        assert.deepEqual([answer.status, answer.text], [200, "ok"]);
        assert.deepEqual(await session.take(packets.length), packets);
      });
    }

    test("polling accepts binary without padding", async () => {
      const session = await openPolling(server);
      await session.post("bAQIDBA");
      assert.deepEqual(await session.packets(), ["bAQIDBA=="]);
    });

    test("a held poll is answered as soon as there is something", async () => {
      const session = await openPolling(server);
      const held = await session.hold();
      await session.post("4now");
      assert.deepEqual(await held.packets, ["4now"]);
    });

    test("messages wait for the next poll, in order and in one payload", async () => {
      // The answer to a post says that it was read, not that the application has answered: that takes it its time.
      for (let [wait, first] = [50, []]; first.length < 3; wait *= 2) {
        const session = await openPolling(server);
        for (const text of ["4a", "4b", "4c"]) await session.post(text);
        await sleep(wait);
        first = await session.packets();
        const others = first.length < 3 ? await session.take(3 - first.length) : [];
        assert.deepEqual([...first, ...others], ["4a", "4b", "4c"]);
        assert.ok(wait < 10_000, "they never come in one payload");
      }
    });

    test("WebSocket carries text there and back", async () => {
      const frames = await openWebSocket(server);
      for (const text of ["4", "4hello", "4€😀", `4${"x".repeat(70_000)}`]) {
        frames.send(text);
        assert.equal(await frames.text(), text);
      }
      frames.close();
    });

    test("WebSocket carries binary there and back", async () => {
      const frames = await openWebSocket(server);
      for (const size of [0, 1, 125, 126, 65_535, 65_536]) {
        const bytes = Buffer.alloc(size, 0xa5);
        frames.send(bytes);
        assert.ok(bytes.equals((await frames.next()).binary));
      }
      frames.close();
    });

    test("WebSocket takes a message in fragments, with a control frame between them", async () => {
      const frames = await openWebSocket(server);
      frames.socket.send("4frag", { fin: false });
      frames.socket.ping();
      frames.socket.send("men", { fin: false });
      frames.socket.send("ted", { fin: true });
      assert.equal(await frames.text(), "4fragmented");
      frames.close();
    });

    test("WebSocket answers a ping frame", async () => {
      const frames = await openWebSocket(server);
      const pong = new Promise((resolve) => frames.socket.once("pong", (data) => resolve(data.toString())));
      frames.socket.ping("payload");
      assert.equal(await pong, "payload");
      frames.close();
    });

    for (const body of ["abc", "", "4ok\x1e", "\x1e4ok", "4a\x1e\x1e4b", "7", " 4"]) {
      test(`the polling payload ${JSON.stringify(body)} ends the session`, async () => {
        const session = await openPolling(server);
        assert.equal((await session.post(body)).text, "ok");
        assert.equal((await session.poll()).status, 400);
      });
    }

    for (const frame of ["abc", "", "7"]) {
      test(`the WebSocket text ${JSON.stringify(frame)} ends the session`, async () => {
        const frames = await openWebSocket(server);
        frames.send(frame);
        assert.equal(await frames.closed(), 1005);
      });
    }

    test("a second poll beside a held one ends the session", async () => {
      const session = await openPolling(server);
      const held = await session.hold();
      const second = await session.poll();
      assert.deepEqual([second.status, second.text], [400, ""]);
      assert.deepEqual(await held.packets, ["1"]);
      assert.equal(await session.refusal(), 1);
    });
  });
}

describe("heartbeat", { concurrency: true }, () => {
  const server = echoServer({ PING_INTERVAL: String(PING_INTERVAL_MS), PING_TIMEOUT: String(PING_TIMEOUT_MS) });

  test("polling: each pong brings the next ping", async () => {
    let start = Date.now();
    const session = await openPolling(server);
    for (let round = 0; round < 3; round += 1) {
      assert.deepEqual(await session.packets(), ["2"]);
      assert.ok(Date.now() - start > PING_INTERVAL_MS - 50);
      start = Date.now();
      assert.equal((await session.post("3")).text, "ok");
    }
  });

  test("WebSocket: each pong brings the next ping", async () => {
    let start = Date.now();
    const frames = await openWebSocket(server);
    for (let round = 0; round < 3; round += 1) {
      assert.equal(await frames.text(), "2");
      assert.ok(Date.now() - start > PING_INTERVAL_MS - 50);
      start = Date.now();
      frames.send("3");
    }
    frames.close();
  });

  test("polling: a session that never answers a ping ends", async () => {
    const session = await openPolling(server);
    await sleep(PING_INTERVAL_MS + PING_TIMEOUT_MS + SLACK_MS);
    assert.equal((await session.poll()).status, 400);
  });

  test("polling: a poll that is held when the pong is overdue gets the close packet", async () => {
    const session = await openPolling(server);
    assert.deepEqual(await session.packets(), ["2"]);
    assert.deepEqual(await session.packets(), ["1"]);
  });

  test("WebSocket: a session that never answers a ping ends", async () => {
    const start = Date.now();
    const frames = await openWebSocket(server);
    assert.equal(await frames.text(), "2");
    assert.equal(await frames.closed(), 1005);
    const lasted = Date.now() - start;
    assert.ok(lasted >= PING_INTERVAL_MS + PING_TIMEOUT_MS - 50, `closed after ${lasted} ms`);
  });

  test("a ping from the client is against the rules and ends the session", async () => {
    const frames = await openWebSocket(server);
    frames.send("2");
    assert.equal(await frames.closed(), 1005);
    const session = await openPolling(server);
    assert.equal((await session.post("2")).text, "ok");
    assert.equal((await session.poll()).status, 400);
  });
});

describe("close", () => {
  const server = echoServer();

  test("polling: the client's close packet ends the session and releases the held poll", async () => {
    const session = await openPolling(server);
    const held = await session.hold();
    assert.equal((await session.post("1")).text, "ok");
    assert.deepEqual(await held.packets, ["6"]);
    assert.equal((await session.poll()).status, 400);
  });

  test("WebSocket: the server answers the closing handshake", async () => {
    const frames = await openWebSocket(server);
    frames.socket.close(1000, "done");
    assert.ok([1000, 1005].includes(await frames.closed()));
  });
});

describe("upgrade", () => {
  const server = echoServer();

  test("a session moves to WebSocket and leaves nothing behind", async () => {
    const session = await openPolling(server);
    const held = await session.hold();
    const frames = await candidateOf(server, session);
    frames.send("2probe");
    assert.equal(await frames.text(), "3probe");
    assert.deepEqual(await held.packets, ["6"], "the held poll is released so that the client can pause");
    frames.send("5");
    frames.send("4after");
    assert.equal(await frames.text(), "4after");
    frames.close();
  });

  test("what was queued on polling comes over WebSocket after the upgrade, in order", async () => {
    const session = await openPolling(server);
    const frames = await candidateOf(server, session);
    frames.send("2probe");
    assert.equal(await frames.text(), "3probe");
    await session.post("4one");
    await session.post("4two");
    assert.ok(await frames.silent(50), "nothing is sent over the candidate before the upgrade");
    frames.send("5");
    frames.send("4three");
    assert.deepEqual([await frames.text(), await frames.text(), await frames.text()], ["4one", "4two", "4three"]);
    frames.close();
  });

  test("polling after the upgrade is refused, and the session lives on", async () => {
    const session = await openPolling(server);
    const frames = await candidateOf(server, session);
    frames.send("2probe");
    await frames.text();
    frames.send("5");
    frames.send("4ready");
    await frames.text();
    for (const answer of [await session.poll(), await session.post("4x")]) {
      assert.deepEqual([answer.status, JSON.parse(answer.text).code], [400, 3]);
    }
    frames.send("4alive");
    assert.equal(await frames.text(), "4alive");
    frames.close();
  });

  test("a second WebSocket for an upgraded session is closed, and the session lives on", async () => {
    const session = await openPolling(server);
    const frames = await candidateOf(server, session);
    frames.send("2probe");
    await frames.text();
    frames.send("5");
    frames.send("4ready");
    await frames.text();
    const second = new Frames(server.port, { path: PATH, query: `EIO=4&transport=websocket&sid=${session.sid}` });
    second.socket.once("open", () => second.send("2probe"));
    assert.ok(await second.closed());
    frames.send("4alive");
    assert.equal(await frames.text(), "4alive");
    frames.close();
  });

  test("a candidate that gives up leaves the session on polling", async () => {
    const session = await openPolling(server);
    const frames = await candidateOf(server, session);
    frames.send("2probe");
    await frames.text();
    frames.close();
    await session.post("4alive");
    assert.ok((await session.take(1)).every((packet) => packet === "4alive" || packet === "6"));
    assert.equal(await session.refusal(), null);
  });
});

describe("limits", () => {
  const server = echoServer({ MAX_HTTP_BUFFER_SIZE: "1000" });

  test("a request body of the limit passes, a byte more is refused and the session lives on", async () => {
    const session = await openPolling(server);
    const largest = `4${"x".repeat(999)}`;
    assert.equal((await session.post(largest)).text, "ok");
    assert.deepEqual(await session.packets(), [largest]);
    const answer = await session.post(`${largest}x`);
    assert.deepEqual([answer.status, answer.text], [413, ""]);
    await session.post("4alive");
    assert.deepEqual(await session.packets(), ["4alive"]);
  });

  test("a frame of the limit passes, a byte more closes with 1009", async () => {
    const frames = await openWebSocket(server);
    const largest = `4${"x".repeat(999)}`;
    frames.send(largest);
    assert.equal(await frames.text(), largest);
    frames.send(`${largest}x`);
    assert.equal(await frames.closed(), 1009);
  });

  test("fragments count together", async () => {
    const frames = await openWebSocket(server);
    frames.socket.send(`4${"x".repeat(599)}`, { fin: false });
    frames.socket.send("y".repeat(600), { fin: true });
    assert.equal(await frames.closed(), 1009);
  });
});
