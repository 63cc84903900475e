/**
 * Replays the Engine.IO 4 exchanges of `tests/vectors/engine-io-http.json`, which were recorded with the official
 * server: status, headers and body must be what it sent. Ids differ from run to run and are masked; the testbed's
 * greeting (`auth`) is left out; where the official server streams an answer (chunked), ours may tell its length.
 *
 * The recordings run in file order, since they share sessions. One that needs more than its request (a poll that is
 * held meanwhile, say) has a scene in `SCENES`; one that needs an application that the testbed is not has its reason
 * in `ELSEWHERE`.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";

import { ROOT, startTestbed } from "./support/process.js";
import { Frames, Polling, request, SEPARATOR } from "./support/wire.js";

const { eio4: VECTORS } = JSON.parse(readFileSync(path.join(ROOT, "tests/vectors/engine-io-http.json"), "utf8"));

const GREETING = '42["auth",{}]';
// The official server handles a packet a moment after it came, so what packets that follow at once do is another story.
const SETTLE_MS = 50;
// Set by Node's HTTP server, or by the choice between streaming and telling the length.
const OWN_HEADERS = ["date", "connection", "keep-alive", "transfer-encoding", "content-length"];

const ELSEWHERE = {
  "connect to /admin with bad auth + unknown nsp": "an application of its own; protocol-socket.test.js uses /deny",
  "connect to /admin with good auth": "an application of its own; protocol-socket.test.js uses /custom",
  "event with ack, unicode": "an application that emits and acknowledges at once; messaging.test.js",
  "cookie: true + webtransport + CSR handshake": "other options; http.test.js has the cookie",
  "allowRequest rejection": "the testbed refuses no handshake",
  "websocket allowRequest rejection": "the testbed refuses no handshake",
};
// The polls that belong to recordings that are played elsewhere, by their bodies.
const ELSEWHERE_BODIES = ["44/nope,", "40/admin,", '42["echo","€😀"]'];

const pollOfElsewhere = ({ label, body }) =>
  label === "poll" && ELSEWHERE_BODIES.some((start) => body.startsWith(start));

const mask = (text) => text.replace(/\b(sid\\*":\\*")[\w-]{20}/g, "$1<id>");
const withoutGreeting = (text) =>
  text
    .split(SEPARATOR)
    .filter((packet) => packet !== GREETING)
    .join(SEPARATOR);

/** Fails where the answer differs from the recording. */
function compare(vector, answer) {
  assert.equal(answer.status, vector.status);
  const expected = Object.entries(vector.headers).filter(([name]) => !OWN_HEADERS.includes(name));
  const actual = Object.entries(answer.headers).filter(([name]) => !OWN_HEADERS.includes(name));
  assert.deepEqual(Object.fromEntries(actual), Object.fromEntries(expected));
  if (vector.body.hex) {
    assert.equal(gunzipSync(answer.body).toString(), gunzipSync(Buffer.from(vector.body.hex, "hex")).toString());
    return;
  }
  const body = withoutGreeting(answer.text);
  assert.equal(mask(body), mask(vector.body));
  if (body === answer.text && vector.headers["content-length"]) {
    assert.equal(answer.headers["content-length"], vector.headers["content-length"]);
  }
}

/** The sessions of the recordings, and the requests that are held across them. */
class Stage {
  constructor(port) {
    this.port = port;
    this.sessions = new Map();
    this.held = null;
  }

  /** Our session in place of the recorded one: opened now if no recorded handshake did. */
  async session(recorded) {
    if (!this.sessions.has(recorded)) this.sessions.set(recorded, await Polling.open(this.port));
    return this.sessions.get(recorded);
  }

  /** A poll of the recorded session that the server holds. */
  async hold(vector) {
    const session = await this.session(sidOf(vector));
    this.held = await session.hold({ "accept-encoding": "identity" });
    return session;
  }

  /** Sends the recorded request. */
  async send(vector) {
    const [method, recordedTarget] = vector.request.split(" ");
    const recorded = sidOf(vector);
    const session = recorded && recorded !== "abc" ? await this.session(recorded) : null;
    const target = session ? recordedTarget.replace(recorded, session.sid) : recordedTarget;
    const answer = await request(this.port, method, target, {
      headers: vector.requestHeaders,
      body: bodyOf(vector),
    });
    if (!recorded && answer.status === 200) this.remember(vector, answer);
    return answer;
  }

  /** A recorded handshake: later recordings use its session. */
  remember(vector, answer) {
    const sid = /"sid\\*":\\*"([\w-]{20})/;
    const session = Object.assign(new Polling(), { port: this.port, path: "/socket.io/", extra: "" });
    session.sid = sid.exec(answer.text)[1];
    this.sessions.set(sid.exec(vector.body)[1], session);
  }
}

const sidOf = (vector) => /[?&]sid=([\w-]+)/.exec(vector.request)?.[1];

function bodyOf({ requestBody }) {
  if (requestBody?.hex) return Buffer.from(requestBody.hex, "hex");
  return requestBody === "<1000001 chars>" ? "x".repeat(1_000_001) : requestBody;
}

/** Recordings that need more than their request; each gives the answer to compare, or checks frames itself. */
const SCENES = {
  poll: async (stage, vector) => {
    const answer = await stage.send(vector);
    // The greeting may come in an answer of its own; it must not be in the way of the next recording.
    if (vector.body.startsWith("40") && !answer.text.includes(GREETING)) await stage.send(vector);
    return answer;
  },
  "JSONP poll": async (stage, vector) => {
    const answer = await stage.send(vector);
    const escaped = JSON.stringify(GREETING).slice(1, -1);
    if (!answer.text.startsWith('___eio[12]("40')) return answer;
    if (!answer.text.includes(escaped)) await stage.send(vector);
    const text = answer.text.replace(`${SEPARATOR}${escaped}`, "").replace(`\\u001e${escaped}`, "");
    return { ...answer, text, headers: { ...answer.headers, "content-length": String(text.length) } };
  },
  "overlapping GET (2nd)": async (stage, vector) => {
    await stage.hold(vector);
    return stage.send(vector);
  },
  "overlapping GET (1st)": (stage) => stage.held.answer,
  "close packet by client": async (stage, vector) => {
    await stage.hold(vector);
    return stage.send(vector);
  },
  "pending poll": (stage) => stage.held.answer,
  "server disconnect(true): pending poll gets": async (stage, vector) => {
    await (await stage.session(sidOf(vector))).join();
    const session = await stage.hold(vector);
    await session.post('42["kick"]');
    return stage.held.answer;
  },
  "response > 1024 bytes with Accept-Encoding: gzip": async (stage, vector) => {
    const session = await stage.session(sidOf(vector));
    const id = JSON.parse((await session.join())[0].slice(2)).sid;
    const [name, ...args] = JSON.parse(gunzipSync(Buffer.from(vector.body.hex, "hex")).toString().slice(2));
    await session.post(`42${JSON.stringify(["io-emit", id, name, ...args])}`);
    return stage.send(vector);
  },
  "upgrade: pending poll response": async (stage, vector) => {
    const session = await stage.hold(vector);
    stage.candidate = await Frames.candidate(stage.port, session.sid);
    stage.candidate.send("2probe");
    return stage.held.answer;
  },
  "upgrade: websocket frames (sent 2probe, 5, 40)": async (stage, vector) => {
    assert.deepEqual(await stage.candidate.next(), vector.beforeUpgradePacket[0]);
    stage.candidate.send("5");
    stage.candidate.send("40");
    assert.equal(mask(await stage.candidate.text()), mask(vector.after[0].text));
  },
  "upgrade: wrong first packet": async (stage, vector) => {
    const session = await Polling.open(stage.port);
    const candidate = await Frames.candidate(stage.port, session.sid);
    candidate.send("4hello");
    assert.deepEqual(await candidate.next(), vector.frames[0]);
    assert.equal(await session.refusal(), null);
  },
  "websocket only: sent 40, binary event, 41, 40, then a duplicate 40": async (stage, vector) => {
    const event = ['451-["echo",{"_placeholder":true,"num":0}]', Buffer.from([1, 2, 3])];
    await playFrames(stage, vector, ["40", ...event, "41", "40", "40"]);
  },
  "websocket: EVENT before CONNECT": (stage, vector) => playFrames(stage, vector, ['42["echo"]']),
  "websocket: invalid Socket.IO packet type": (stage, vector) => playFrames(stage, vector, ["49"]),
  "websocket with unknown sid": async (stage, vector) => {
    const frames = new Frames(stage.port, { query: "EIO=4&transport=websocket&sid=abc" });
    const { refused } = await frames.next();
    assert.deepEqual([refused.status, refused.body], [vector.unexpected.status, vector.unexpected.body]);
    assert.equal(refused.headers["content-type"], vector.unexpected.headers["content-type"]);
    assert.equal(refused.headers.connection, vector.unexpected.headers.connection);
  },
  "websocket EIO=3 not allowed": async (stage) => {
    // The official server answers 101 and then writes its refusal as if it were frames; refusing before 101 is better.
    const frame = await new Frames(stage.port, { query: "EIO=3&transport=websocket" }).next();
    assert.ok(frame.refused?.status === 400 || frame.close === 1006, JSON.stringify(frame));
  },
  "websocket with pingInterval=300 pingTimeout=200, no pong sent; CSR enabled": async (stage, vector) => {
    const quick = await startTestbed({ PING_INTERVAL: "300", PING_TIMEOUT: "200" });
    await playFrames({ port: quick.port }, vector, ["40"]).finally(() => quick.stop());
  },
};

/** Sends `sent` on a new WebSocket, each a moment after the other, and compares all frames that come back. */
async function playFrames(stage, vector, sent) {
  const frames = new Frames(stage.port);
  const seen = [];
  const next = async () => {
    const frame = await frames.next();
    if (frame.text !== GREETING) seen.push(frame);
  };
  await next();
  for (const item of sent) {
    frames.send(item);
    await sleep(SETTLE_MS);
  }
  while (seen.length < vector.frames.length) await next();
  frames.close();
  const shown = (frame) => {
    if (frame.binary) return { binary_hex: frame.binary.toString("hex") };
    return frame.text ? { text: mask(frame.text) } : frame;
  };
  const recorded = (frame) => {
    // Recorded with connection state recovery, which adds the private id.
    return frame.text ? { text: mask(frame.text.replace(/,"pid":"[\w-]{20}"/, "")) } : frame;
  };
  assert.deepEqual(seen.map(shown), vector.frames.map(recorded));
}

describe("recorded exchanges with the official server", () => {
  let testbed, stage;
  before(async () => {
    testbed = await startTestbed({ SHARDS: "1", CORS_ORIGIN: "http://example.com", CORS_CREDENTIALS: "1" });
    stage = new Stage(testbed.port);
  });
  after(() => testbed?.stop());

  test("every scene and every exception belongs to a recording", () => {
    const labels = new Set(VECTORS.map(({ label }) => label));
    assert.deepEqual(
      [...Object.keys(SCENES), ...Object.keys(ELSEWHERE)].filter((label) => !labels.has(label)),
      [],
    );
  });

  VECTORS.forEach((vector, index) => {
    const elsewhere = ELSEWHERE[vector.label] ?? (pollOfElsewhere(vector) ? "its request is played elsewhere" : false);
    test(`${index}: ${vector.label}`, { skip: elsewhere }, async () => {
      const answer = SCENES[vector.label] ? await SCENES[vector.label](stage, vector) : await stage.send(vector);
      if (answer) compare(vector, answer);
    });
  });
});
