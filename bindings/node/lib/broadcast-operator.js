// Whom an emission is for, put together step by step; each step is a new operator. RemoteSocket is one for a single socket.
"use strict";

const { BroadcastAck } = require("./acks");

/** Not to be emitted, to one socket or to many. */
const RESERVED_EVENTS = new Set(["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"]);

function added(set, rooms) {
  const copy = new Set(set);
  if (Array.isArray(rooms)) for (const room of rooms) copy.add(room);
  else copy.add(rooms);
  return copy;
}

const listOf = (room) => (Array.isArray(room) ? room : [room]);

class BroadcastOperator {
  constructor(adapter, rooms = new Set(), exceptRooms = new Set(), flags = {}) {
    this.adapter = adapter;
    this.rooms = rooms;
    this.exceptRooms = exceptRooms;
    this.flags = flags;
  }

  to(room) {
    return new BroadcastOperator(this.adapter, added(this.rooms, room), this.exceptRooms, this.flags);
  }

  in(room) {
    return this.to(room);
  }

  except(room) {
    return new BroadcastOperator(this.adapter, this.rooms, added(this.exceptRooms, room), this.flags);
  }

  _with(flags) {
    return new BroadcastOperator(this.adapter, this.rooms, this.exceptRooms, { ...this.flags, ...flags });
  }

  compress(compress) {
    return this._with({ compress });
  }

  get volatile() {
    return this._with({ volatile: true });
  }

  get local() {
    return this._with({ local: true });
  }

  timeout(timeout) {
    return this._with({ timeout });
  }

  get _opts() {
    return { rooms: this.rooms, except: this.exceptRooms, flags: this.flags };
  }

  emit(ev, ...args) {
    if (RESERVED_EVENTS.has(ev)) throw new Error(`"${String(ev)}" is a reserved event name`);
    if (typeof args[args.length - 1] !== "function") {
      this.adapter.broadcastEvent(ev, args, this._opts);
      return true;
    }
    const ack = new BroadcastAck(this, args.pop(), this.flags.expectSingleResponse);
    this.adapter.broadcastEvent(ev, args, this._opts, ack);
    return true;
  }

  emitWithAck(ev, ...args) {
    return new Promise((resolve, reject) => {
      args.push((err, responses) => {
        if (err) {
          err.responses = responses;
          reject(err);
        } else resolve(responses);
      });
      this.emit(ev, ...args);
    });
  }

  allSockets() {
    if (!this.adapter) {
      throw new Error(
        "No adapter for this namespace, are you trying to get the list of clients of a dynamic namespace?",
      );
    }
    return this.adapter.sockets(this.rooms);
  }

  async fetchSockets() {
    const found = await this.adapter.fetchSockets(this._opts);
    // What is here is given as it is.
    return found.map((socket) => (socket.server ? socket : new RemoteSocket(this.adapter, socket)));
  }

  socketsJoin(room) {
    this.adapter.addSockets(this._opts, listOf(room));
  }

  socketsLeave(room) {
    this.adapter.delSockets(this._opts, listOf(room));
  }

  disconnectSockets(close = false) {
    this.adapter.disconnectSockets(this._opts, close);
  }
}

class RemoteSocket {
  constructor(adapter, details) {
    this.id = details.id;
    this.handshake = details.handshake;
    this.rooms = new Set(details.rooms);
    this.data = details.data;
    this.operator = new BroadcastOperator(adapter, new Set([this.id]), new Set(), { expectSingleResponse: true });
  }

  timeout(timeout) {
    return this.operator.timeout(timeout);
  }

  emit(ev, ...args) {
    return this.operator.emit(ev, ...args);
  }

  join(room) {
    return this.operator.socketsJoin(room);
  }

  leave(room) {
    return this.operator.socketsLeave(room);
  }

  disconnect(close = false) {
    this.operator.disconnectSockets(close);
    return this;
  }
}

module.exports = { BroadcastOperator, RemoteSocket, RESERVED_EVENTS };
