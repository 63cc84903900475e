// `io.engine`: what Engine.IO's server is to programs, in front of a native engine. It takes requests and upgrades of Node's servers.
"use strict";

const { EventEmitter } = require("node:events");
const { native } = require("./native");
const { Core } = require("./core");
const { Guests } = require("./guests");
const { standAtTheDoor } = require("./door");
const { GUEST_HEADER } = require("./client");
const { engineOptions, dynamicCors } = require("./options");

/** Official defaults that programs read from `engine.opts`. */
const DEFAULTS = {
  pingTimeout: 20000,
  pingInterval: 25000,
  upgradeTimeout: 10000,
  maxHttpBufferSize: 1e6,
  transports: ["polling", "websocket"],
  allowUpgrades: true,
  cors: false,
  allowEIO3: false,
};

/** How long what is queued may take to be sent when the server closes. */
const CLOSE_GRACE_MS = 1000;

/** Sockets from which on handshakes are taken at the door: fewer cost nothing worth it, and come in the order of their connections. */
const DIVERT_FROM = 64;

const FORBIDDEN = 403;
const FORBIDDEN_CODE = 4;

/** Middlewares of Express's kind, one after the other. */
function runAll(functions, req, res, done) {
  const run = (i) => {
    if (i === functions.length) return done();
    functions[i](req, res, (err) => (err ? done(err) : run(i + 1)));
  };
  run(0);
}

class Engine extends EventEmitter {
  /** `host` is as for Core, without `onNotes`. `met(number, req)` keeps the request of a handshake. */
  constructor(server, opts, clientDir, host) {
    super();
    this.server = server;
    this.opts = { ...DEFAULTS, ...opts };
    this.middlewares = [];
    const options = engineOptions(server, opts);
    if (clientDir !== undefined) options.clientDir = clientDir;
    this.core = new Core(options, { ...host, onNotes: (notes) => this.guests.onNotes(notes), onClosed: () => this.guests.abandon() });
    this.guests = new Guests(this.core, this.opts.maxHttpBufferSize, (...answer) => this.onAnswer(...answer));
    this.met = host.met;
    this.handshakes = 0;
    this.divertFrom = DIVERT_FROM;
    if (opts.cors && dynamicCors(opts.cors)) this.use(require("cors")(opts.cors));
  }

  get clientsCount() {
    return this.core.handle === null ? 0 : native.sessions(this.core.handle);
  }

  use(fn) {
    this.middlewares.push(fn);
    return this;
  }

  close() {
    this.core.close(CLOSE_GRACE_MS);
    return this;
  }

  /** The engine's metrics as Prometheus text. */
  metrics() {
    return native.metrics(this.core.handle);
  }

  // ---- requests -------------------------------------------------------------------------------------------------------------

  handleRequest(req, res) {
    runAll(this.middlewares, req, res, (err) => {
      if (err) return fail(res, err);
      if (res.writableEnded) return;
      this.admit(req, (number) => this.guests.request(req, res, number), (message) => {
        const body = JSON.stringify({ code: FORBIDDEN_CODE, message });
        this.emit("connection_error", { req, code: FORBIDDEN_CODE, message, context: {} });
        res.writeHead(FORBIDDEN, { "Content-Type": "application/json" });
        res.end(body);
      });
    });
  }

  handleUpgrade(req, socket, head) {
    expectErrors(socket);
    runAll(this.middlewares, req, answerOf(socket), (err) => {
      if (err) return socket.destroy();
      this.admit(req, (number) => this.guests.upgrade(req, socket, head, number), (message) => {
        this.emit("connection_error", { req, code: FORBIDDEN_CODE, message, context: {} });
        hangUp(
          socket,
          `HTTP/1.1 ${FORBIDDEN} Forbidden\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: ` +
            `${Buffer.byteLength(message)}\r\n\r\n${message}`,
        );
      });
    });
  }

  /** A handshake is numbered, and asked about if there is an `allowRequest`. */
  admit(req, accept, refuse) {
    const query = new URLSearchParams(req.url.split("?")[1] || "");
    req._query ??= Object.fromEntries(query);
    if (query.get("sid") || !query.has("transport")) return accept(0);
    const number = ++this.handshakes;
    const { allowRequest } = this.opts;
    if (allowRequest || this.middlewares.length !== 0) this.met(number, req);
    if (!allowRequest) return accept(number);
    allowRequest(req, (err, allowed) => {
      if (allowed) accept(number);
      else refuse(err ? String(err) : "Forbidden");
    });
  }

  /** Lets programs see the headers of an answer, and change them; and hear of refusals. */
  onAnswer(req, status, headers, body) {
    const { sid, transport } = req._query ?? {};
    if (status >= 400 && transport !== undefined && this.listenerCount("connection_error") !== 0) {
      const { code, message } = parsed(body);
      if (code !== undefined) this.emit("connection_error", { req, code, message, context: {} });
    }
    const initial = sid === undefined && status === 200 && this.listenerCount("initial_headers") !== 0;
    if (!initial && this.listenerCount("headers") === 0) return headers;
    const named = {};
    for (let i = 0; i < headers.length; i += 2) {
      const before = named[headers[i]];
      named[headers[i]] = before === undefined ? headers[i + 1] : [].concat(before, headers[i + 1]);
    }
    if (initial) this.emit("initial_headers", named, req);
    this.emit("headers", named, req);
    return Object.entries(named).flatMap(([name, value]) => [].concat(value).flatMap((one) => [name, String(one)]));
  }

  // ---- servers of Node's ----------------------------------------------------------------------------------------------------

  /** Takes what is under the path from a server, which keeps the rest. */
  attach(httpServer, opts = {}) {
    const path = this.pathOf(opts);
    const listeners = httpServer.listeners("request").slice();
    httpServer.removeAllListeners("request");
    httpServer.on("request", (req, res) => {
      if (req.url.startsWith(path)) this.handleRequest(req, res);
      else for (const listener of listeners) listener.call(httpServer, req, res);
    });
    httpServer.on("upgrade", (req, socket, head) => {
      if (req.url.startsWith(path)) this.handleUpgrade(req, socket, head);
      else if (opts.destroyUpgrade !== false) abandonLater(socket, opts.destroyUpgradeTimeout ?? 1000);
    });
    standAtTheDoor(httpServer, (fd) => (httpServer.listenerCount("upgrade") === 1 ? this.divert(fd, path) : 0));
    httpServer.on("close", () => this.close());
  }

  /** Takes a WebSocket handshake that no code of the program's wants to see; what it gives is as for `standAtTheDoor`. */
  divert(fd, path) {
    const { handle } = this.core;
    if (handle === null || this.core.socketCount < this.divertFrom || this.opts.allowRequest || this.middlewares.length !== 0) return 0;
    const found = native.divert(handle, fd, path, this.handshakes + 1);
    if (found > 0) this.handshakes++;
    return found;
  }

  pathOf(opts) {
    const path = (opts.path || "/socket.io").replace(/\/$/, "");
    return opts.addTrailingSlash === false ? path : path + "/";
  }

  /** The number in a handshake's JSON, by which its request is found. */
  static numberIn(json) {
    const at = json.indexOf(`"${GUEST_HEADER}":"`);
    return at === -1 ? 0 : parseInt(json.slice(at + GUEST_HEADER.length + 4), 10);
  }
}

function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return {};
  }
}

function fail(res, err) {
  res.statusCode = err.status || err.statusCode || 500;
  res.end();
}

/** Node leaves the errors of an upgraded connection to us. A peer that breaks it off is no reason to end the process; 'close' follows. */
function expectErrors(socket) {
  socket.on("error", () => {});
}

/** What middlewares get for an upgrade, which they are not written for: an answer that nobody reads, and whose end is the connection's. */
function answerOf(socket) {
  const nothing = () => {};
  const end = () => socket.destroy();
  return { setHeader: nothing, getHeader: nothing, appendHeader: nothing, removeHeader: nothing, on: nothing, once: nothing, write: nothing, writeHead: nothing, end };
}

/** The last words to a peer, which need not close its side for the connection to end. */
function hangUp(socket, text) {
  socket.end(text, () => socket.destroy());
}

/** An upgrade that nobody has answered after a while is nobody's. */
function abandonLater(socket, timeoutMs) {
  expectErrors(socket);
  setTimeout(() => {
    if (socket.writable && socket.bytesWritten <= 0) hangUp(socket, "");
  }, timeoutMs);
}

module.exports = { Engine };
