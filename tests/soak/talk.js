// Well-behaved guests: official clients that come by some transport, talk, upgrade, and go; as many at a time as SLOTS says, until stdin
// ends. The last line of stdout is what they saw, as JSON; what must not happen is in `failures`.
//
//   URL=http://127.0.0.1:3000 SLOTS=40 node tests/soak/talk.js
import { createRequire } from "node:module";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

// The clients' packages are installed beside the client tests.
const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(path.join(here, "../clients/node/package.json"));
const { io } = require("socket.io-client");

const SLOTS = Number(process.env.SLOTS ?? 40);
const LIFE_MAX_MS = 8_000;
// A loaded machine, and clients that share it: a healthy answer takes a millisecond.
const ANSWER_TIMEOUT_MS = 30_000;

const WAYS = [["websocket"], ["polling"], ["polling", "websocket"]];
const seen = { connections: 0, answers: 0, upgrades: 0, broadcasts: 0, failures: 0, reasons: {} };
let going = true;

function fail(what) {
  seen.failures += 1;
  seen.reasons[what] = (seen.reasons[what] ?? 0) + 1;
}

const pick = (list) => list[Math.floor(Math.random() * list.length)];

function connected(socket) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no connection in time")), ANSWER_TIMEOUT_MS);
    socket.once("connect", () => (clearTimeout(timer), resolve()));
    socket.once("connect_error", (error) => (clearTimeout(timer), reject(error)));
  });
}

/** Something to say, and whether the answer is what it should be. */
async function talk(socket) {
  const asking = socket.timeout(ANSWER_TIMEOUT_MS);
  const what = Math.random();
  if (what < 0.5) {
    const number = Math.random();
    const [answer] = [].concat(await asking.emitWithAck("ack", number));
    if (answer !== number) fail("a wrong answer");
  } else if (what < 0.7) {
    const bytes = Buffer.alloc(Math.floor(Math.random() * 20_000), 7);
    const [answer] = [].concat(await asking.emitWithAck("ack", bytes));
    if (!Buffer.isBuffer(answer) || !answer.equals(bytes)) fail("wrong bytes");
  } else if (what < 0.85) {
    socket.emit("join", pick(["a", "b", "c"]));
  } else {
    socket.emit("bcast", "to all");
  }
  seen.answers += 1;
}

async function visit(url) {
  const transports = pick(WAYS);
  const socket = io(url, { transports, reconnection: false, forceNew: true, rememberUpgrade: false });
  socket.onAny(() => (seen.broadcasts += 1));
  socket.io.engine?.on("upgrade", () => (seen.upgrades += 1));
  try {
    await connected(socket);
    seen.connections += 1;
    const end = Date.now() + Math.random() * LIFE_MAX_MS;
    while (going && Date.now() < end && socket.connected) {
      await talk(socket);
      await sleep(Math.random() * 400);
    }
    if (going && !socket.connected) fail("the server ended it");
  } catch (error) {
    fail(error.message);
  }
  // Some say good-bye, some just go.
  if (Math.random() < 0.7) socket.disconnect();
  else socket.io.engine?.close();
}

async function slot(url) {
  while (going) {
    await visit(url);
    await sleep(Math.random() * 200);
  }
}

process.stdin.on("end", () => (going = false)).resume();
await Promise.all(Array.from({ length: SLOTS }, () => slot(process.env.URL)));
console.log(JSON.stringify(seen));
process.exit(0);
