/** socket.io-client as applications use it, with the few functions that every suite needs. */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";

/** The ways in which a browser can reach the server. */
export const TRANSPORTS = {
  polling: ["polling"],
  websocket: ["websocket"],
  upgrade: ["polling", "websocket"],
};

// Long enough for a loaded machine; whatever takes longer is lost.
const EVENT_TIMEOUT_MS = 20_000;

/** The clients of one test: opens them and closes them all, whatever became of the test. */
export class Clients {
  constructor(url, options = {}) {
    this.url = url;
    this.options = { forceNew: true, reconnection: false, ...options };
    this.sockets = [];
  }

  /** A client of `nsp` that is still connecting. */
  create(nsp = "/", options = {}) {
    const socket = io(this.url + nsp, { ...this.options, ...options });
    this.sockets.push(socket);
    return socket;
  }

  /** A client of `nsp` that is connected, has upgraded if it is to, and has its `auth` event in `socket.greeting`. */
  async connect(nsp = "/", options = {}) {
    const socket = this.create(nsp, options);
    const greeting = event(socket, "auth");
    greeting.catch(() => {});
    await event(socket, "connect", { rejectOn: "connect_error" });
    [socket.greeting] = await greeting;
    const transports = { ...this.options, ...options }.transports;
    if (transports?.join() === TRANSPORTS.upgrade.join()) await upgraded(socket);
    return socket;
  }

  closeAll() {
    for (const socket of this.sockets) {
      socket.disconnect();
      socket.io.engine?.close();
    }
    this.sockets = [];
  }
}

/** Waits for the arguments of an event; fails when `rejectOn` comes first, or neither in time. */
export async function event(socket, name, { rejectOn, timeoutMs = EVENT_TIMEOUT_MS } = {}) {
  return new Promise((resolve, reject) => {
    const done =
      (settle) =>
      (...args) => {
        clearTimeout(timer);
        socket.off(name, onEvent);
        if (rejectOn) socket.off(rejectOn, onError);
        settle(args);
      };
    const onEvent = done(resolve);
    const onError = done(([error]) => reject(error));
    const timer = setTimeout(
      done(() => reject(new Error(`no ${name} within ${timeoutMs} ms`))),
      timeoutMs,
    );
    socket.on(name, onEvent);
    if (rejectOn) socket.on(rejectOn, onError);
  });
}

/** Waits until the client's connection is a WebSocket. */
export async function upgraded(socket) {
  const { engine } = socket.io;
  if (engine.transport.name === "websocket") return;
  await Promise.race([once(engine, "upgrade"), sleep(EVENT_TIMEOUT_MS, null, { ref: false })]);
  if (engine.transport.name !== "websocket") throw new Error("not upgraded");
}

/** Runs one operation of the testbed and gives its result. */
export async function cmd(socket, op, fields = {}) {
  const answer = await socket.timeout(EVENT_TIMEOUT_MS).emitWithAck("cmd", { op, ...fields });
  if (!answer.ok) throw new Error(answer.error);
  return answer.result;
}

/** Every event that `socket` receives from now on, as `[name, ...args]` without the acknowledgement function. */
export function record(socket) {
  const events = [];
  socket.onAny((...args) => events.push(args.filter((arg) => typeof arg !== "function")));
  return events;
}

/**
 * Waits until all that the server has sent to `socket` so far has arrived: events keep their order, so the
 * answer to a question comes after them.
 */
export async function settled(...sockets) {
  await Promise.all(sockets.map((socket) => socket.timeout(EVENT_TIMEOUT_MS).emitWithAck("ack")));
}

/** Asks `question` until it gives true; for what another connection's end brings about. */
export async function eventually(question, timeoutMs = EVENT_TIMEOUT_MS) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    if (await question()) return;
    if (Date.now() > deadline) throw new Error("it did not come true in time");
    await sleep(20);
  }
}

export { sleep };
