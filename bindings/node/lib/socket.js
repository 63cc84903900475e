// A client in a namespace.
//
// There may be very many that do nothing: what most sockets never need (rooms, data, the parsed handshake) is made when it is asked for.
"use strict";

const { EventEmitter } = require("node:events");
const { BroadcastOperator, RESERVED_EVENTS } = require("./broadcast-operator");
const { SocketAck } = require("./acks");
const { Listeners } = require("./listeners");
const { CLOSE } = require("./native");

const superEmit = EventEmitter.prototype.emit;

/** Middlewares one after the other; `done` gets the error that one of them gave to `next`, or nothing. */
function runInOrder(functions, first, done) {
  const fns = functions.slice();
  const run = (i) => {
    fns[i](first, (err) => {
      if (err) done(err);
      else if (i + 1 < fns.length) run(i + 1);
      else done();
    });
  };
  run(0);
}

class Socket extends EventEmitter {
  /** `info`: the id, the number of the transport, and the handshake as JSON. */
  constructor(nsp, client, ids, info) {
    super();
    this._events = new Listeners();
    this.nsp = nsp;
    this.client = client;
    this.id = info[0];
    this.connected = false;
    this._low = ids.low;
    this._high = ids.high;
    /** As JSON until somebody asks for it. */
    this._handshake = info[2];
    /** What was emitted before the socket was admitted. */
    this._early = [];
  }

  get recovered() {
    return false;
  }

  get data() {
    this.client.core.mirror?.touch(this);
    return (this._data ??= {});
  }

  set data(data) {
    this._data = data;
    this.client.core.mirror?.touch(this);
  }

  get handshake() {
    if (typeof this._handshake === "string") this._handshake = this.client._describe(this._handshake);
    return this._handshake;
  }

  get rooms() {
    if (this._gone) return new Set();
    const rooms = new Set(this._rooms);
    if (this.connected && this._inOwn) rooms.add(this.id);
    return rooms;
  }

  get server() {
    return this.nsp.server;
  }

  get adapter() {
    return this.nsp.adapter;
  }

  get request() {
    return this.client.request;
  }

  get conn() {
    return this.client.conn;
  }

  /** The acknowledgements that were asked of this socket alone and have not come, as a copy: callbacks by the engine's tokens. */
  get acks() {
    const waiting = [...this.client.core.awaited].filter(([, ack]) => ack.socket === this);
    return new Map(waiting.map(([token, ack]) => [token, ack.callback]));
  }

  get disconnected() {
    return !this.connected;
  }

  // ---- to the client --------------------------------------------------------------------------------------------------------

  emit(ev, ...args) {
    if (RESERVED_EVENTS.has(ev)) throw new Error(`"${String(ev)}" is a reserved event name`);
    const flags = this._flags;
    this._flags = undefined;
    let ack;
    let timeout = 0;
    if (typeof args[args.length - 1] === "function") {
      ack = new SocketAck(this, args.pop(), flags?.timeout);
      // The engine takes 0 for no limit.
      if (flags?.timeout !== undefined) timeout = Math.max(1, flags.timeout);
    }
    this._leaving(ev, args);
    if (this._early !== undefined) this._early.push(() => this._send(ev, args, flags, timeout, ack));
    else this._send(ev, args, flags, timeout, ack);
    return true;
  }

  /** Tells those who listen to what is emitted. */
  _leaving(ev, args) {
    const listeners = this._anyOutgoingListeners;
    if (listeners === undefined || listeners.length === 0) return;
    for (const listener of listeners.slice()) listener.call(this, ev, ...args);
  }

  _send(ev, args, flags, timeout, ack) {
    const { core } = this.client;
    if (core.observed) this.client._created(flags);
    core.outbox.emit(this, ev, args, flags, timeout, ack);
  }

  emitWithAck(ev, ...args) {
    const withErr = this._flags?.timeout !== undefined;
    return new Promise((resolve, reject) => {
      args.push((first, second) => {
        if (!withErr) resolve(first);
        else if (first) reject(first);
        else resolve(second);
      });
      this.emit(ev, ...args);
    });
  }

  send(...args) {
    this.emit("message", ...args);
    return this;
  }

  write(...args) {
    this.emit("message", ...args);
    return this;
  }

  compress(compress) {
    (this._flags ??= {}).compress = compress;
    return this;
  }

  get volatile() {
    (this._flags ??= {}).volatile = true;
    return this;
  }

  timeout(timeout) {
    (this._flags ??= {}).timeout = timeout;
    return this;
  }

  to(room) {
    return this._operator().to(room);
  }

  in(room) {
    return this._operator().in(room);
  }

  except(room) {
    return this._operator().except(room);
  }

  get broadcast() {
    return this._operator();
  }

  get local() {
    return this._operator().local;
  }

  _operator() {
    const flags = { ...this._flags };
    this._flags = undefined;
    return new BroadcastOperator(this.nsp.adapter, new Set(), new Set([this.id]), flags);
  }

  // ---- rooms ----------------------------------------------------------------------------------------------------------------

  join(rooms) {
    if (this._gone) return undefined;
    return this.nsp.adapter.addAll(this.id, new Set(Array.isArray(rooms) ? rooms : [rooms]));
  }

  leave(room) {
    return this.nsp.adapter.del(this.id, room);
  }

  /** Leaves its own room too. */
  leaveAll() {
    for (const room of this.rooms) this.leave(room);
  }

  // ---- from the client ------------------------------------------------------------------------------------------------------

  _onevent(name, args, tokenLow, tokenHigh) {
    if (tokenLow !== 0 || tokenHigh !== 0) args.push(this._answer(tokenLow, tokenHigh));
    const listeners = this._anyListeners;
    if (listeners !== undefined && listeners.length !== 0) {
      for (const listener of listeners.slice()) listener.call(this, name, ...args);
    }
    if (this._fns === undefined) return this._deliver(name, args);
    const event = [name, ...args];
    runInOrder(this._fns, event, (err) => {
      process.nextTick(() => {
        if (err) this._onerror(err);
        else this._deliver(event[0], event.slice(1));
      });
    });
  }

  _deliver(name, args) {
    if (!this.connected) return;
    // An "error" that nobody listens to would be thrown.
    if (name === "error" && this.listenerCount("error") === 0) return;
    if (args.length === 1) superEmit.call(this, name, args[0]);
    else superEmit.call(this, name, ...args);
  }

  _answer(low, high) {
    let sent = false;
    return (...args) => {
      if (sent) return;
      this.client.core.outbox.ack(low, high, args);
      sent = true;
    };
  }

  _onerror(err) {
    if (this.listenerCount("error") > 0) superEmit.call(this, "error", err);
  }

  use(fn) {
    (this._fns ??= []).push(fn);
    return this;
  }

  onAny(listener) {
    (this._anyListeners ??= []).push(listener);
    return this;
  }

  prependAny(listener) {
    (this._anyListeners ??= []).unshift(listener);
    return this;
  }

  offAny(listener) {
    this._anyListeners = without(this._anyListeners, listener);
    return this;
  }

  listenersAny() {
    return this._anyListeners || [];
  }

  onAnyOutgoing(listener) {
    this.client.core.observed = true;
    (this._anyOutgoingListeners ??= []).push(listener);
    return this;
  }

  prependAnyOutgoing(listener) {
    this.client.core.observed = true;
    (this._anyOutgoingListeners ??= []).unshift(listener);
    return this;
  }

  offAnyOutgoing(listener) {
    this._anyOutgoingListeners = without(this._anyOutgoingListeners, listener);
    return this;
  }

  listenersAnyOutgoing() {
    return this._anyOutgoingListeners || [];
  }

  // ---- its life -------------------------------------------------------------------------------------------------------------

  /** The engine has admitted it, and the client knows. */
  _onconnect() {
    if (this._gone || this.connected) return;
    this.connected = true;
    if (this._rooms !== undefined) this.client.core.outbox.join(this, [...this._rooms]);
    const early = this._early;
    this._early = undefined;
    for (const send of early) send();
    this.nsp._doConnect(this);
  }

  _onclose(reason, description) {
    if (!this.connected) return this._cleanup();
    try {
      superEmit.call(this, "disconnecting", reason, description);
    } catch (error) {
      // It leaves all the same, and what the next listeners throw must not hide this.
      process.nextTick(() => {
        throw error;
      });
    }
    this._cleanup();
    this.client._remove(this, reason);
    this.connected = false;
    superEmit.call(this, "disconnect", reason, description);
    return undefined;
  }

  /** Takes it out of everything; also when it never was admitted, for `reason` if its client left. */
  _cleanup(reason) {
    if (this._gone) return;
    this.nsp.adapter.delAll(this.id);
    this._gone = true;
    this.nsp._remove(this);
    this.client.core.remove(this);
    if (!this.connected) this.client._remove(this, reason);
  }

  disconnect(close = false) {
    if (!this.connected) return this;
    if (close) this.client._disconnect(this);
    else {
      this.client.core.outbox.disconnect(this, 0);
      this._onclose("server namespace disconnect");
    }
    return this;
  }

  /** The connection is closed without a farewell; the reason comes from the engine. */
  _closeTransport() {
    this.client.core.outbox.disconnect(this, CLOSE.SILENT);
  }
}

// What few sockets have is no field of each. `_rooms` is without its own.
Object.assign(Socket.prototype, {
  _data: undefined,
  _rooms: undefined,
  _inOwn: true,
  _flags: undefined,
  _fns: undefined,
  _anyListeners: undefined,
  _anyOutgoingListeners: undefined,
  _gone: false,
});

function without(listeners, listener) {
  if (listeners === undefined) return undefined;
  if (!listener) return [];
  const at = listeners.indexOf(listener);
  if (at !== -1) listeners.splice(at, 1);
  return listeners;
}

module.exports = { Socket, runInOrder };
