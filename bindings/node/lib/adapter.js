// The rooms of a namespace in this process: the engine's, for sending, and beside them who is where, so that reading them crosses nothing.
"use strict";

const { EventEmitter } = require("node:events");

/** The official server gives a broadcast without a timeout no time at all. */
const NO_TIME_MS = 1;

class Adapter extends EventEmitter {
  constructor(nsp) {
    super();
    this.nsp = nsp;
    /** Sockets by room; the room that each socket has for itself is not here. */
    this.members = new Map();
  }

  init() {}

  close() {}

  serverCount() {
    return Promise.resolve(1);
  }

  /** Ids by room, as a copy. */
  get rooms() {
    const rooms = new Map();
    for (const socket of this.nsp.sockets.values()) if (socket._inOwn) rooms.set(socket.id, new Set([socket.id]));
    for (const [room, sockets] of this.members) rooms.set(room, new Set(Array.from(sockets, (socket) => socket.id)));
    return rooms;
  }

  /** Rooms by id, as a copy. */
  get sids() {
    return new Map(Array.from(this.nsp.sockets.values(), (socket) => [socket.id, socket.rooms]));
  }

  find(id) {
    return this.nsp.sockets.get(id) || this.nsp._preConnectSockets.get(id);
  }

  socketRooms(id) {
    return this.find(id)?.rooms;
  }

  // ---- rooms ----------------------------------------------------------------------------------------------------------------

  addAll(id, rooms) {
    const socket = this.find(id);
    if (socket === undefined) return;
    const fresh = [];
    for (const room of rooms) {
      if (room === id || socket._rooms?.has(room)) continue;
      (socket._rooms ??= new Set()).add(room);
      this.enter(socket, room);
      fresh.push(room);
    }
    if (fresh.length !== 0 && socket.connected) socket.client.core.outbox.join(socket, fresh);
  }

  del(id, room) {
    const socket = this.find(id);
    if (socket === undefined) return;
    if (room === id) socket._inOwn = false;
    else if (socket._rooms?.delete(room)) this.exit(socket, room);
    else return;
    if (socket.connected) socket.client.core.outbox.leave(socket, [room]);
  }

  /** The socket is leaving: the engine knows already. */
  delAll(id) {
    const socket = this.find(id);
    if (socket === undefined) return;
    if (socket._rooms !== undefined) for (const room of socket._rooms) this.exit(socket, room);
    socket._rooms = undefined;
    if (socket.connected) this.left(id);
  }

  enter(socket, room) {
    let sockets = this.members.get(room);
    if (sockets === undefined) {
      this.members.set(room, (sockets = new Set()));
      this.emit("create-room", room);
    }
    sockets.add(socket);
    this.emit("join-room", room, socket.id);
  }

  exit(socket, room) {
    const sockets = this.members.get(room);
    if (sockets === undefined || !sockets.delete(socket)) return;
    this.emit("leave-room", room, socket.id);
    if (sockets.size !== 0) return;
    this.members.delete(room);
    this.emit("delete-room", room);
  }

  /** The room that each socket has for itself comes and goes with it. */
  entered(id) {
    this.emit("create-room", id);
    this.emit("join-room", id, id);
  }

  left(id) {
    this.emit("leave-room", id, id);
    this.emit("delete-room", id);
  }

  // ---- many sockets ---------------------------------------------------------------------------------------------------------

  /** The sockets here in any of the rooms (all, if none is named), and in none of the others. */
  matching({ rooms, except = new Set() }) {
    const found = new Set();
    const add = (room, set) => {
      const own = this.nsp.sockets.get(room);
      if (own !== undefined) set.add(own);
      for (const socket of this.members.get(room) || []) if (socket.connected) set.add(socket);
    };
    if (rooms.size === 0) for (const socket of this.nsp.sockets.values()) found.add(socket);
    else for (const room of rooms) add(room, found);
    const left = new Set();
    for (const room of except) add(room, left);
    return Array.from(found).filter((socket) => !left.has(socket));
  }

  sockets(rooms) {
    return Promise.resolve(new Set(this.matching({ rooms }).map((socket) => socket.id)));
  }

  fetchSockets(opts) {
    return Promise.resolve(this.matching(opts));
  }

  addSockets(opts, rooms) {
    for (const socket of this.matching(opts)) this.addAll(socket.id, new Set(rooms));
  }

  delSockets(opts, rooms) {
    for (const socket of this.matching(opts)) for (const room of rooms) this.del(socket.id, room);
  }

  disconnectSockets(opts, close) {
    for (const socket of this.matching(opts)) socket.disconnect(close);
  }

  /** `ack` is a BroadcastAck. */
  broadcastEvent(ev, args, opts, ack) {
    const core = this.nsp.server._core;
    const id = core && this.nsp._idIn(core);
    if (!id) {
      if (ack) ack.fail();
      return;
    }
    if (core.observed) {
      for (const socket of this.matching(opts)) {
        socket._leaving(ev, args);
        socket.client._created(opts.flags);
      }
    }
    const timeout = ack ? Math.max(NO_TIME_MS, opts.flags.timeout ?? NO_TIME_MS) : 0;
    core.outbox.broadcast(id, ev, args, opts.rooms, opts.except, opts.flags, timeout, ack);
  }

  /** There are no other servers yet: all of them have answered. */
  serverSideEmit(args) {
    const ack = args[args.length - 1];
    if (typeof ack === "function") process.nextTick(ack, null, []);
  }
}

module.exports = { Adapter };
