// Requests and upgrades that a Node server received and the engine answers: requests with their bodies, upgrades by handing the connection
// over. A descriptor is given away; what is encrypted stays Node's, which carries the bytes.
"use strict";

const { native, NOTE } = require("./native");
const { GUEST_HEADER } = require("./client");

const UNAVAILABLE = 503;
const TOO_LARGE = 413;

/** How long the peer of a stream that is over may take to close its side: as long as the engine gives its own. */
const CLOSE_TIMEOUT_MS = 5000;

/** The headers as they came, but for one that only we may write; HTTP/2 has the host elsewhere. */
function headersOf(req, number) {
  const raw = req.rawHeaders;
  const headers = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i].toLowerCase();
    if (name === ":authority") headers.push("host", raw[i + 1]);
    else if (name[0] !== ":" && name !== GUEST_HEADER) headers.push(raw[i], raw[i + 1]);
  }
  if (number !== 0) headers.push(GUEST_HEADER, String(number));
  return headers;
}

/** The head of an upgrade as it came over the wire. */
function headOf(req, number) {
  const headers = headersOf(req, number);
  let text = `${req.method} ${req.url} HTTP/${req.httpVersion}\r\n`;
  for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`;
  return Buffer.from(text + "\r\n", "latin1");
}

class Guests {
  /** `onAnswer(req, status, headers, body)` sees each answer, and may give other headers. */
  constructor(core, bodyMax, onAnswer) {
    this.core = core;
    this.bodyMax = bodyMax;
    this.onAnswer = onAnswer;
    this.closeTimeoutMs = CLOSE_TIMEOUT_MS;
    this.last = 0;
    this.requests = new Map();
    this.streams = new Map();
  }

  // ---- requests -------------------------------------------------------------------------------------------------------------

  /** `number` is how the handshake is found again; 0 for other requests. */
  request(req, res, number) {
    if (req.method !== "POST") return this.ask(req, res, number, undefined);
    const chunks = [];
    let len = 0;
    req.on("data", (chunk) => {
      len += chunk.length;
      if (len <= this.bodyMax) chunks.push(chunk);
      else if (!res.headersSent) {
        res.writeHead(TOO_LARGE, { connection: "close" });
        res.end(() => req.destroy());
      }
    });
    req.on("end", () => {
      if (len <= this.bodyMax) this.ask(req, res, number, Buffer.concat(chunks));
    });
  }

  ask(req, res, number, body) {
    const { handle } = this.core;
    if (handle === null) return refuse(res);
    const id = ++this.last;
    const { remoteAddress, encrypted } = req.socket;
    this.requests.set(id, { req, res });
    const stream = native.http(handle, id, req.method, req.url, headersOf(req, number), body, remoteAddress, !!encrypted);
    if (typeof stream === "number") {
      this.requests.delete(id);
      return refuse(res);
    }
    res.on("close", () => {
      if (this.requests.delete(id) && this.core.handle !== null) native.end(this.core.handle, stream);
    });
  }

  answered(id, status, headers, body) {
    const pending = this.requests.get(id);
    if (pending === undefined) return;
    this.requests.delete(id);
    const { req, res } = pending;
    const lines = this.onAnswer(req, status, headers, body);
    if (req.httpVersionMajor < 2) res.writeHead(status, lines);
    else for (let i = 0; i < lines.length; i += 2) res.setHeader(lines[i], lines[i + 1]);
    res.statusCode = status;
    res.end(body);
  }

  // ---- upgrades -------------------------------------------------------------------------------------------------------------

  upgrade(req, socket, head, number) {
    const { handle } = this.core;
    // The program may have taken its time, and the peer have left.
    if (handle === null || socket.destroyed) return socket.destroy();
    const bytes = Buffer.concat([headOf(req, number), head]);
    const fd = socket.encrypted ? undefined : socket._handle?.fd;
    if (fd === undefined || fd < 0) return this.feed(socket, bytes);
    // The engine has a duplicate: closing ours does not end the connection.
    native.adopt(handle, fd, bytes);
    socket.destroy();
  }

  /** Carries the bytes of a connection that has no descriptor to give. */
  feed(socket, bytes) {
    const id = ++this.last;
    const fed = native.feed(this.core.handle, id, bytes, socket.remoteAddress, !!socket.encrypted);
    if (typeof fed === "number") return socket.destroy();
    const stream = { socket, id: fed[0], guest: fed[1], rest: undefined };
    this.streams.set(id, stream);
    socket.setTimeout(0);
    socket.setNoDelay(true);
    socket.on("data", (chunk) => this.input(stream, chunk));
    socket.on("end", () => this.ended(stream));
    socket.on("error", () => {}); // 'close' follows
    socket.on("close", () => {
      this.ended(stream);
      this.streams.delete(id);
    });
    socket.resume();
  }

  input(stream, chunk) {
    if (this.core.handle === null) return;
    const taken = native.input(this.core.handle, stream.id, chunk);
    if (taken < 0 || taken === chunk.length) return;
    stream.rest = chunk.subarray(taken);
    stream.socket.pause();
  }

  ended(stream) {
    if (this.core.handle !== null) native.end(this.core.handle, stream.id);
  }

  /** What the engine tells of requests and streams: see `take_notes` of src/engine.c. */
  onNotes(notes) {
    for (let i = 0; i < notes.length; i += 5) {
      try {
        this.onNote(notes[i], notes[i + 1], notes[i + 2], notes[i + 3], notes[i + 4]);
      } catch (error) {
        // A listener of the program's failed. Node hears of it as always, and the next notes are others'.
        process.nextTick(() => {
          throw error;
        });
      }
    }
  }

  onNote(kind, id, status, headers, body) {
    if (kind === NOTE.ANSWER) return this.answered(id, status, headers, body);
    const stream = this.streams.get(id);
    if (stream === undefined) return undefined;
    if (kind === NOTE.SEND) return this.send(stream, body);
    return kind === NOTE.CLOSE ? this.close(stream) : this.room(stream);
  }

  /** The engine has said all that it had to say. */
  close({ socket }) {
    socket.end();
    const timer = setTimeout(() => socket.destroy(), this.closeTimeoutMs).unref();
    socket.once("close", () => clearTimeout(timer));
  }

  send(stream, bytes) {
    stream.socket.write(bytes, () => {
      if (this.core.handle !== null) native.written(this.core.handle, stream.id, stream.guest, bytes.length);
    });
  }

  room(stream) {
    const { rest } = stream;
    stream.rest = undefined;
    if (rest !== undefined) this.input(stream, rest);
    if (stream.rest === undefined) stream.socket.resume();
  }

  /** The engine is gone: nobody will answer. */
  abandon() {
    for (const { res } of this.requests.values()) refuse(res);
    this.requests.clear();
    for (const { socket } of this.streams.values()) socket.destroy();
  }
}

function refuse(res) {
  if (!res.headersSent) res.writeHead(UNAVAILABLE);
  res.end();
}

module.exports = { Guests };
