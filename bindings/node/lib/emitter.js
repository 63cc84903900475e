// What a program says to a cluster without being one of its servers: the API of `@socket.io/redis-emitter`.
"use strict";

const { clusterOf, ofRedis } = require("./cluster");
const { hasBinary, takeOut } = require("./binary");
const { RESERVED_EVENTS } = require("./broadcast-operator");
const { native, CLOSE, FLAG } = require("./native");

/** How long `flush` and `close` wait for the broker. */
const PATIENCE_MS = 5000;

const listOf = (rooms) => (Array.isArray(rooms) ? rooms : [rooms]);
const STATE = ["up", "waiting", "waitingBytes", "published", "unconfirmed", "dropped", "downs", "error"];

function checked(ev) {
  if (RESERVED_EVENTS.has(ev)) throw new Error(`"${String(ev)}" is a reserved event name`);
  return String(ev);
}

/** Arguments as JSON, what is binary in them as attachments. */
function encoded(args) {
  if (typeof args[args.length - 1] === "function") throw new Error("Acknowledgements are not supported");
  const attachments = [];
  return [JSON.stringify(hasBinary(args) ? takeOut(args, attachments) : args), attachments];
}

class EmitterBroadcastOperator {
  constructor(handle, nsp, rooms = [], exceptRooms = [], flags = 0) {
    this._handle = handle;
    this._nsp = nsp;
    this._rooms = rooms;
    this._except = exceptRooms;
    this._flags = flags;
  }

  _with({ rooms = this._rooms, except = this._except, flags = this._flags }) {
    return new EmitterBroadcastOperator(this._handle, this._nsp, rooms, except, flags);
  }

  to(room) {
    return this._with({ rooms: [...new Set([...this._rooms, ...listOf(room).map(String)])] });
  }

  in(room) {
    return this.to(room);
  }

  except(room) {
    return this._with({ except: [...new Set([...this._except, ...listOf(room).map(String)])] });
  }

  compress(compress) {
    return this._with({ flags: compress ? this._flags & ~FLAG.COMPRESS_OFF : this._flags | FLAG.COMPRESS_OFF });
  }

  get volatile() {
    return this._with({ flags: this._flags | FLAG.VOLATILE });
  }

  emit(ev, ...args) {
    const [text, attachments] = encoded(args);
    native.emitter.emit(this._handle, this._nsp, this._rooms, this._except, checked(ev), text, attachments, this._flags);
    return true;
  }

  socketsJoin(rooms) {
    native.emitter.move(this._handle, this._nsp, this._rooms, this._except, listOf(rooms).map(String), true);
  }

  socketsLeave(rooms) {
    native.emitter.move(this._handle, this._nsp, this._rooms, this._except, listOf(rooms).map(String), false);
  }

  disconnectSockets(close = false) {
    native.emitter.disconnect(this._handle, this._nsp, this._rooms, this._except, close ? CLOSE.TRANSPORT : 0);
  }
}

class Emitter {
  /**
   * @param client the adapter's options with `kind` (`redis` if there is none) and `url` or `nodes`; or a URL, or a client of the package `redis` or
   *   `ioredis`, whose address is taken
   * @param opts the adapter's options, after a client or URL
   */
  constructor(client, opts, nsp = "/") {
    const cluster = isOptions(client)
      ? clusterOf({ kind: "redis", ...client, ...opts })
      : clusterOf({ kind: "redis", ...ofRedis(client), ...opts });
    this._use(native.emitter.open(cluster.kind, JSON.stringify(cluster.options)), nsp);
  }

  _use(handle, nsp) {
    this._handle = handle;
    this.nsp = nsp;
  }

  /** For another namespace, over the same connection. */
  of(nsp) {
    const other = Object.create(Object.getPrototypeOf(this));
    other._use(this._handle, nsp[0] === "/" ? nsp : "/" + nsp);
    return other;
  }

  get _all() {
    return new EmitterBroadcastOperator(this._handle, this.nsp);
  }

  emit(ev, ...args) {
    return this._all.emit(ev, ...args);
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

  get volatile() {
    return this._all.volatile;
  }

  compress(compress) {
    return this._all.compress(compress);
  }

  socketsJoin(rooms) {
    this._all.socketsJoin(rooms);
  }

  socketsLeave(rooms) {
    this._all.socketsLeave(rooms);
  }

  disconnectSockets(close = false) {
    this._all.disconnectSockets(close);
  }

  /** To the servers, not their clients. */
  serverSideEmit(ev, ...args) {
    native.emitter.serverEmit(this._handle, this.nsp, checked(ev), ...encoded(args));
  }

  /** Resolves when the broker has taken what was emitted before; rejects if it does not in time, or some may be lost. */
  flush(timeoutMs = PATIENCE_MS) {
    return native.emitter.flush(this._handle, timeoutMs);
  }

  /** The last: as `flush`, then the connection is closed. */
  close(timeoutMs = PATIENCE_MS) {
    return native.emitter.close(this._handle, timeoutMs);
  }

  /** `{ up, waiting, waitingBytes, published, unconfirmed, dropped, downs, error }` */
  get state() {
    const values = native.emitter.state(this._handle);
    const state = Object.fromEntries(STATE.map((name, at) => [name, values[at]]));
    return { ...state, up: state.up === 1 };
  }
}

/** Whether that is an object of options, and no client. */
function isOptions(value) {
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return false;
  return typeof value.url === "string" || Array.isArray(value.nodes);
}

module.exports = { Emitter };
