// A namespace: its sockets, its middlewares, and what can be said to all of it.
"use strict";

const { EventEmitter } = require("node:events");
const { BroadcastOperator } = require("./broadcast-operator");
const { Socket, runInOrder } = require("./socket");

const RESERVED_EVENTS = new Set(["connect", "connection", "new_namespace"]);
const superEmit = EventEmitter.prototype.emit;

class Namespace extends EventEmitter {
  constructor(server, name) {
    super();
    this.server = server;
    this.name = name;
    this.sockets = new Map();
    this._preConnectSockets = new Map();
    this._fns = [];
    /** The engine that `_id` is of. */
    this._core = undefined;
    this._id = 0;
    this._initAdapter();
  }

  _initAdapter() {
    const Adapter = this.server.adapter();
    this.adapter = new Adapter(this);
    Promise.resolve(this.adapter.init()).catch(() => {});
  }

  /** The namespace's number in an engine. */
  _idIn(core) {
    return this._core === core ? this._id : 0;
  }

  /** Makes it known to an engine. */
  _register(core) {
    this._known(core, core.namespace(this.name));
    return this._id;
  }

  /** An engine has it under a number. */
  _known(core, id) {
    this._core = core;
    this._id = id;
  }

  use(fn) {
    this._fns.push(fn);
    return this;
  }

  // ---- sockets --------------------------------------------------------------------------------------------------------------

  /** A client asks to join: the middlewares decide. */
  _add(core, client, ids, info) {
    const socket = new Socket(this, client, ids, info);
    this._preConnectSockets.set(socket.id, socket);
    core.add(socket);
    client._add(socket);
    if (this._fns.length === 0) return this._admit(core, socket, ids);
    runInOrder(this._fns, socket, (err) => process.nextTick(() => this._admit(core, socket, ids, err)));
  }

  _admit(core, socket, { tokenLow, tokenHigh }, err) {
    if (!err) {
      // False: the client has left meanwhile. Else CONNECT follows.
      if (!core.decide(tokenLow, tokenHigh, true)) socket._cleanup();
      return;
    }
    socket._cleanup();
    const data = err.data === undefined ? undefined : JSON.stringify(err.data);
    core.decide(tokenLow, tokenHigh, false, err.message === undefined ? undefined : String(err.message), data);
  }

  /** A socket was admitted. */
  _doConnect(socket) {
    this._preConnectSockets.delete(socket.id);
    this.sockets.set(socket.id, socket);
    this.adapter.entered?.(socket.id);
    superEmit.call(this, "connect", socket);
    superEmit.call(this, "connection", socket);
  }

  _remove(socket) {
    if (!this.sockets.delete(socket.id)) this._preConnectSockets.delete(socket.id);
  }

  // ---- to its sockets -------------------------------------------------------------------------------------------------------

  get _all() {
    return new BroadcastOperator(this.adapter);
  }

  emit(ev, ...args) {
    return this._all.emit(ev, ...args);
  }

  emitWithAck(ev, ...args) {
    return this._all.emitWithAck(ev, ...args);
  }

  send(...args) {
    this.emit("message", ...args);
    return this;
  }

  write(...args) {
    this.emit("message", ...args);
    return this;
  }

  to(room) {
    return this._all.to(room);
  }

  in(room) {
    return this._all.in(room);
  }

  except(room) {
    return this._all.except(room);
  }

  compress(compress) {
    return this._all.compress(compress);
  }

  get volatile() {
    return this._all.volatile;
  }

  get local() {
    return this._all.local;
  }

  timeout(timeout) {
    return this._all.timeout(timeout);
  }

  allSockets() {
    return this._all.allSockets();
  }

  fetchSockets() {
    return this._all.fetchSockets();
  }

  socketsJoin(room) {
    return this._all.socketsJoin(room);
  }

  socketsLeave(room) {
    return this._all.socketsLeave(room);
  }

  disconnectSockets(close = false) {
    return this._all.disconnectSockets(close);
  }

  // ---- to other servers -----------------------------------------------------------------------------------------------------

  serverSideEmit(ev, ...args) {
    if (RESERVED_EVENTS.has(ev)) throw new Error(`"${String(ev)}" is a reserved event name`);
    this.adapter.serverSideEmit([ev, ...args]);
    return true;
  }

  serverSideEmitWithAck(ev, ...args) {
    return new Promise((resolve, reject) => {
      args.push((err, responses) => {
        if (err) {
          err.responses = responses;
          reject(err);
        } else resolve(responses);
      });
      this.serverSideEmit(ev, ...args);
    });
  }

  /** Tells the program's own listeners. */
  emitReserved(ev, ...args) {
    return superEmit.call(this, ev, ...args);
  }

  /** Another server speaks: not in the name of this one's own events. */
  _onServerSideEmit(args) {
    const [ev] = args;
    if (RESERVED_EVENTS.has(ev) || (ev === "error" && this.listenerCount("error") === 0)) return;
    superEmit.apply(this, args);
  }
}

module.exports = { Namespace };
