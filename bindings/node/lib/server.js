// The server: its namespaces, and the engine under them once there is something to listen to.
"use strict";

const { EventEmitter } = require("node:events");
const { createServer } = require("node:http");
const path = require("node:path");
const { Adapter } = require("./adapter");
const { Client } = require("./client");
const { clusterOf } = require("./cluster");
const { ClusterAdapter } = require("./cluster-adapter");
const { Engine } = require("./engine");
const { Namespace } = require("./namespace");
const { ParentNamespace } = require("./parent-namespace");
const { native } = require("./native");

/** The folder of the browser client. */
function clientDir() {
  return path.dirname(require.resolve("socket.io-client/package.json"));
}

class Server extends EventEmitter {
  constructor(srv, opts = {}) {
    super();
    if (typeof srv === "object" && srv !== null && !srv.listen) {
      opts = srv;
      srv = undefined;
    }
    this._opts = opts;
    this._nsps = new Map();
    this._parents = new Map();
    this._parentCount = 0;
    this._patterns = new Map();
    /** By the number of their handshake. */
    this._clients = new Map();
    this._sweptAt = Date.now();
    this._core = undefined;
    /** What cluster to join. */
    this._cluster = undefined;
    /** Names by the engine's numbers. */
    this._names = new Map();
    this._asking = false;
    this.path(opts.path || "/socket.io");
    this.connectTimeout(opts.connectTimeout || 45000);
    this.serveClient(opts.serveClient !== false);
    opts.cleanupEmptyChildNamespaces = !!opts.cleanupEmptyChildNamespaces;
    this.adapter(opts.adapter || Adapter);
    this.sockets = this.of("/");
    if (srv || typeof srv === "number") this.attach(srv);
  }

  get opts() {
    return this._opts;
  }

  get parentNsps() {
    return this._parents;
  }

  // ---- settings -------------------------------------------------------------------------------------------------------------

  serveClient(value) {
    if (arguments.length === 0) return this._serveClient;
    this._serveClient = value;
    return this;
  }

  path(value) {
    if (arguments.length === 0) return this._path;
    this._path = value.replace(/\/$/, "");
    return this;
  }

  connectTimeout(value) {
    if (value === undefined) return this._connectTimeout;
    this._connectTimeout = value;
    return this;
  }

  adapter(value) {
    if (arguments.length === 0) return this._adapter;
    this._cluster = clusterOf(value);
    this._adapter = this._cluster === undefined ? value : ClusterAdapter;
    if (this._cluster !== undefined && this._core !== undefined && !this._core.closing) this._core.join(this._cluster);
    for (const nsp of this._nsps.values()) nsp._initAdapter();
    return this;
  }

  // ---- listening ------------------------------------------------------------------------------------------------------------

  listen(srv, opts = {}) {
    return this.attach(srv, opts);
  }

  attach(srv, opts = {}) {
    if (typeof srv === "function") {
      throw new Error(
        "You are trying to attach socket.io to an express request handler function. Please pass a http.Server instance.",
      );
    }
    const port = Number(srv) == srv ? Number(srv) : undefined;
    Object.assign(opts, this._opts);
    opts.path = opts.path || this._path;
    if (this._core === undefined || this._core.closing) this._start(opts);
    // Not before: what listens would outlive a refusal of the options.
    if (port !== undefined) {
      srv = createServer((_req, res) => {
        res.writeHead(404);
        res.end();
      });
      srv.listen(port);
    }
    this.engine.attach(srv, opts);
    this.httpServer = srv;
    return this;
  }

  attachApp() {
    throw new Error("sockeye is an engine of its own: it does not run on uWebSockets.js");
  }

  bind() {
    throw new Error("sockeye is an engine of its own: it does not run on another");
  }

  _start(opts) {
    this.engine = this.eio = new Engine(this, opts, this._serveClient ? clientDir() : undefined, {
      onAuthorize: (id, ids, auth) => this._onAuthorize(id, ids, auth),
      onNamespaceRequest: (name, low, high, auth) => this._onNamespaceRequest(name, low, high, auth),
      onNamespace: (is, id, name) => this._onNamespace(is, id, name),
      onServerMessage: (id, name, args, low, high) => this._onServerMessage(id, name, args, low, high),
      onAdapter: (up, reason) => this._onAdapter(up, reason),
      met: (number, req) => this._met(number, req),
    });
    this._core = this.engine.core;
    if (this._cluster !== undefined) this._joinCluster();
    this._names.clear();
    this._asking = false;
    for (const nsp of this._nsps.values()) this._register(nsp);
    this._askIfNeeded();
  }

  _joinCluster() {
    try {
      this._core.join(this._cluster);
    } catch (error) {
      this.engine.close();
      throw error;
    }
  }

  async close(fn) {
    for (const nsp of this._nsps.values()) {
      for (const socket of [...nsp.sockets.values()]) socket._onclose("server shutting down");
      nsp.adapter.close();
    }
    this.engine?.close();
    if (!this.httpServer) {
      fn?.();
      return;
    }
    await new Promise((resolve) => {
      this.httpServer.close((err) => {
        fn?.(err);
        resolve();
      });
    });
  }

  // ---- namespaces -----------------------------------------------------------------------------------------------------------

  of(name, fn) {
    if (typeof name === "function" || name instanceof RegExp) return this._parent(name, fn);
    name = String(name);
    if (name[0] !== "/") name = "/" + name;
    let nsp = this._nsps.get(name);
    if (nsp === undefined) {
      for (const [pattern, parent] of this._patterns) if (pattern.test(name)) return parent.createChild(name);
      nsp = new Namespace(this, name);
      this._addNamespace(nsp);
      if (name !== "/") this.sockets.emitReserved("new_namespace", nsp);
    }
    if (fn) nsp.on("connect", fn);
    return nsp;
  }

  _parent(match, fn) {
    const parent = new ParentNamespace(this);
    if (typeof match === "function") this._parents.set(match, parent);
    else {
      this._parents.set((name, _auth, next) => next(null, match.test(name)), parent);
      this._patterns.set(match, parent);
    }
    if (fn) parent.on("connect", fn);
    this._askIfNeeded();
    return parent;
  }

  /** `passing`: the engine tells its number when a client has come, and when the last one has gone. */
  _addNamespace(nsp, passing = false) {
    this._nsps.set(nsp.name, nsp);
    if (!passing) this._register(nsp);
  }

  _register(nsp) {
    if (this._core !== undefined && !this._core.closing) this._names.set(nsp._register(this._core), nsp.name);
  }

  _askIfNeeded() {
    if (this._asking || this._parents.size === 0 || this._core === undefined || this._core.closing) return;
    this._asking = true;
    this._core.ask();
  }

  /** Finds or makes the dynamic namespace of a name: the first parent that allows it is its own. `fn` gets it, or false. */
  _checkNamespace(name, auth, fn) {
    const parents = [...this._parents];
    const run = (i) => {
      if (i === parents.length) return fn(false);
      const [match, parent] = parents[i];
      match(name, auth, (err, allow) => {
        if (err || !allow) return run(i + 1);
        fn(this._nsps.get(name) || parent.createChild(name, true));
      });
    };
    run(0);
  }

  // ---- from the engine ------------------------------------------------------------------------------------------------------

  _onNamespaceRequest(name, low, high, auth) {
    const core = this._core;
    this._checkNamespace(name, auth, (nsp) => core.decide(low, high, nsp !== false));
  }

  /** Clients made a namespace, or left it for good. */
  _onNamespace(is, id, name) {
    if (is) this._names.set(id, name);
    else this._names.delete(id);
    const nsp = this._nsps.get(name);
    if (nsp === undefined) return;
    if (is) nsp._known(this._core, id);
    else if (nsp._idIn(this._core) === id) nsp._known(undefined, 0);
  }

  _onServerMessage(id, name, args, low, high) {
    const core = this._core;
    let owes = low !== 0 || high !== 0;
    if (owes) {
      args.push((...answer) => {
        if (owes) core.outbox.ack(low, high, answer);
        owes = false;
      });
    }
    this._nsps.get(this._names.get(id))?._onServerSideEmit([name, ...args]);
  }

  /** The broker of the cluster is reached, or lost. */
  _onAdapter(up, reason) {
    for (const { adapter } of this._nsps.values()) {
      if (up) adapter.emit("up");
      else adapter.emit("down", reason);
    }
  }

  _onAuthorize(id, ids, auth) {
    const core = this._core;
    const info = native.info(core.handle, ids.low, ids.high);
    if (info === undefined) return; // it has left
    // Another I/O thread may tell the name later. No name: it has ended, and its clients with it.
    const name = this._names.get(id) ?? core.nameOf(id);
    if (name === undefined) return;
    const nsp = this._nsps.get(name);
    const join = (found) => {
      if (!found) return core.decide(ids.tokenLow, ids.tokenHigh, false, "Invalid namespace");
      if (found._idIn(core) === 0) found._known(core, id);
      found._add(core, this._clientOf(core, info), ids, info);
    };
    // Cleaned up here, and not yet in the engine: this client came in time.
    if (nsp === undefined) this._checkNamespace(name, auth, join);
    else join(nsp);
  }

  _clientOf(core, info) {
    const number = Engine.numberIn(info[2]);
    let client = this._clients.get(number);
    if (client === undefined || client.core !== core) {
      client = new Client(this, core, number);
      this._clients.set(number, client);
    }
    if (client.transport === undefined) {
      client._met(info);
      if (this.engine.listenerCount("connection") !== 0) this.engine.emit("connection", client.conn);
    }
    return client;
  }

  /** Keeps a request that the program has seen, until its client joins a namespace or is too late for it. */
  _met(number, req) {
    const now = Date.now();
    if (now - this._sweptAt > this._connectTimeout) {
      this._sweptAt = now;
      for (const [old, client] of this._clients) {
        if (client.sockets.length === 0 && now - client.issued > this._connectTimeout) this._clients.delete(old);
      }
    }
    const client = new Client(this, this._core, number, req);
    client.issued = now;
    this._clients.set(number, client);
  }
}

// What is said of the server concerns the namespace `/`.
for (const name of [
  "use", "to", "in", "except", "allSockets", "compress", "timeout", "fetchSockets", "socketsJoin", "socketsLeave",
  "disconnectSockets", "serverSideEmit", "serverSideEmitWithAck", "emitWithAck",
]) {
  Server.prototype[name] = function (...args) {
    const result = this.sockets[name](...args);
    return name === "use" ? this : result;
  };
}
for (const name of ["send", "write"]) {
  Server.prototype[name] = function (...args) {
    this.sockets.emit("message", ...args);
    return this;
  };
}
for (const name of ["volatile", "local"]) {
  Object.defineProperty(Server.prototype, name, {
    get() {
      return this.sockets[name];
    },
  });
}
for (const name of Object.keys(EventEmitter.prototype)) {
  if (typeof EventEmitter.prototype[name] !== "function") continue;
  Server.prototype[name] = function (...args) {
    return this.sockets[name](...args);
  };
}

module.exports = { Server };
