/**
 * Engine.IO sessions by hand: what a test says here goes on the wire as written, and what comes back is shown
 * as it came. Nothing answers a ping or hides a packet unless the test asks for it.
 */
import { once } from "node:events";
import WebSocket from "ws";

import { request, requestThatWaits } from "./http.js";

export { request } from "./http.js";

/** Between the packets of a polling payload. */
export const SEPARATOR = "\x1e";

const FRAME_TIMEOUT_MS = 20_000;

/** A long-polling session. Its methods give the HTTP answer as `request` does. */
export class Polling {
  /** Opens a session. `options`: `path` (default `/socket.io/`), `query` (more parameters), `headers`. */
  static async open(port, options = {}) {
    const session = new Polling();
    session.port = port;
    session.path = options.path ?? "/socket.io/";
    session.extra = options.query ? `&${options.query}` : "";
    const answer = await request(port, "GET", session.target(), { headers: options.headers });
    if (answer.status !== 200) throw new Error(`handshake refused: ${answer.status} ${answer.text}`);
    session.open = JSON.parse(answer.text.slice(1));
    session.sid = session.open.sid;
    session.handshake = answer;
    return session;
  }

  /** The request target of this session, before it has an id too. */
  target() {
    const sid = this.sid ? `&sid=${this.sid}` : "";
    return `${this.path}?EIO=4&transport=polling${this.extra}${sid}`;
  }

  poll(options = {}) {
    return request(this.port, "GET", this.target(), options);
  }

  /** A poll that the server holds, if it has one I/O thread: `answer` is the promise of its answer, `packets` of its packets. */
  async hold(headers) {
    const { answer } = await requestThatWaits(this.port, "GET", this.target(), headers);
    return { answer, packets: answer.then(({ text }) => text.split(SEPARATOR)) };
  }

  post(body, headers = { "content-type": "text/plain;charset=UTF-8" }) {
    return request(this.port, "POST", this.target(), { body, headers });
  }

  /** Polls once and gives the packets. */
  async packets() {
    return (await this.poll()).text.split(SEPARATOR);
  }

  /** Polls until `count` packets other than pings came. */
  async take(count) {
    const packets = [];
    while (packets.length < count) {
      for (const packet of await this.packets()) if (packet !== "2") packets.push(packet);
    }
    return packets;
  }

  /** Joins a namespace; gives the CONNECT answer and the `auth` event that the testbed emits. */
  async join(nsp = "") {
    await this.post(nsp ? `40${nsp},` : "40");
    return this.take(2);
  }

  /** The error code with which the server refuses this session now, or `null` while it is alive. */
  async refusal() {
    const answer = await this.post("3");
    return answer.status === 200 ? null : JSON.parse(answer.text).code;
  }
}

/** A WebSocket that keeps all that it received, in order: `{text}`, `{binary}` and at last `{close: code}`. */
export class Frames {
  constructor(port, options = {}) {
    const path = options.path ?? "/socket.io/";
    const query = options.query ?? "EIO=4&transport=websocket";
    this.waiting = [];
    this.received = [];
    this.socket = new WebSocket(`ws://127.0.0.1:${port}${path}?${query}`, {
      headers: options.headers,
      origin: options.origin,
      perMessageDeflate: false,
    });
    this.socket.on("message", (data, isBinary) => this.push(isBinary ? { binary: data } : { text: data.toString() }));
    this.socket.on("close", (code) => this.push({ close: code }));
    this.socket.on("error", () => {});
    // The server may have refused the handshake: then its answer is the frame.
    this.socket.on("unexpected-response", (_request, response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => {
        const { statusCode: status, headers } = response;
        this.push({ refused: { status, headers, body: Buffer.concat(chunks).toString() } });
      });
    });
  }

  /** Opens a session on WebSocket and reads its open packet. */
  static async open(port, options) {
    const frames = new Frames(port, options);
    const { text } = await frames.next();
    frames.open = JSON.parse(text.slice(1));
    frames.sid = frames.open.sid;
    return frames;
  }

  /** Opens a session, joins the main namespace and reads the testbed's `auth` event. */
  static async joined(port, options) {
    const frames = await Frames.open(port, options);
    await frames.join();
    return frames;
  }

  /** Opens the candidate of an upgrade of `sid`. */
  static async candidate(port, sid) {
    const frames = new Frames(port, { query: `EIO=4&transport=websocket&sid=${sid}` });
    await once(frames.socket, "open");
    return frames;
  }

  push(frame) {
    const waiter = this.waiting.shift();
    if (waiter) waiter(frame);
    else this.received.push(frame);
  }

  send(data) {
    this.socket.send(data);
  }

  /** The next frame; fails if none comes in time. */
  next(timeoutMs = FRAME_TIMEOUT_MS) {
    if (this.received.length > 0) return Promise.resolve(this.received.shift());
    return new Promise((resolve, reject) => {
      const waiter = (frame) => {
        clearTimeout(timer);
        resolve(frame);
      };
      const timer = setTimeout(() => {
        this.waiting.splice(this.waiting.indexOf(waiter), 1);
        reject(new Error(`no frame within ${timeoutMs} ms`));
      }, timeoutMs);
      this.waiting.push(waiter);
    });
  }

  /** The text of the next frame. */
  async text() {
    const frame = await this.next();
    if (frame.text === undefined) throw new Error(`not a text frame: ${JSON.stringify(frame)}`);
    return frame.text;
  }

  /** Joins a namespace; gives the CONNECT answer and the `auth` event that the testbed emits. */
  async join(nsp = "", auth = "") {
    this.send(nsp ? `40${nsp},${auth}` : `40${auth}`);
    return [await this.text(), await this.text()];
  }

  /** The close code, when the server closes and sends nothing before. */
  async closed(timeoutMs) {
    const frame = await this.next(timeoutMs);
    if (frame.close === undefined) throw new Error(`not closed but: ${JSON.stringify(frame)}`);
    return frame.close;
  }

  /** `true` if nothing arrives for `ms`. */
  async silent(ms) {
    const frame = await this.next(ms).catch(() => null);
    if (frame) this.received.unshift(frame);
    return frame === null;
  }

  close() {
    this.socket.terminate();
  }
}
