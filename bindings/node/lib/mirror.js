// In a cluster: what other servers change of the sockets here, and what they may know of them. Rooms are kept twice, by the engine and in
// JavaScript (see adapter.js), and a socket's `data` lives in JavaScript while the engine tells it to others.
"use strict";

const { native } = require("./native");
const { textOf } = require("./outbox");

class Mirror {
  constructor(core) {
    this.core = core;
    /** How many changes of its rooms a socket has under way to the engine, which will be told of: `Map` of rooms by socket. */
    this.echoes = new Map();
    /** Sockets whose data somebody has had in hand. */
    this.touched = new Set();
    /** Their data as the engine has it. */
    this.told = new WeakMap();
    this.tellLater = () => this.tell();
  }

  // ---- rooms ----------------------------------------------------------------------------------------------------------------

  /** JavaScript has changed a room of a socket, and tells the engine. */
  expect(socket, room) {
    let rooms = this.echoes.get(socket);
    if (rooms === undefined) this.echoes.set(socket, (rooms = new Map()));
    room = textOf(room);
    rooms.set(room, (rooms.get(room) ?? 0) + 1);
  }

  /** The engine has changed a room of a socket: an echo of what was done here, or what another server wants. */
  changed(socket, room, joined) {
    const rooms = this.echoes.get(socket);
    const expected = rooms?.get(room) ?? 0;
    if (expected === 0) {
      if (socket.connected) socket.nsp.adapter.moved?.(socket, room, joined);
    } else if (expected > 1) rooms.set(room, expected - 1);
    else if (rooms.delete(room) && rooms.size === 0) this.echoes.delete(socket);
  }

  forget(socket) {
    this.echoes.delete(socket);
    this.touched.delete(socket);
  }

  // ---- data -----------------------------------------------------------------------------------------------------------------

  /** The program has a socket's data in hand: at the end of the turn it may have changed. */
  touch(socket) {
    if (this.touched.size === 0) setImmediate(this.tellLater);
    this.touched.add(socket);
  }

  tell() {
    const { handle } = this.core;
    for (const socket of this.touched) {
      const text = json(socket._data);
      if (handle === null || text === undefined || text === (this.told.get(socket) ?? "{}")) continue;
      this.told.set(socket, text);
      native.setData(handle, socket._low, socket._high, text);
    }
    this.touched.clear();
  }
}

/** Data that has no JSON is not told. */
function json(data) {
  try {
    return JSON.stringify(data);
  } catch (error) {
    process.emitWarning(`the data of a socket cannot be told to other servers: ${error.message}`, "SockeyeWarning");
    return undefined;
  }
}

module.exports = { Mirror };
