// What a turn of JavaScript wants done, in order, until it is submitted in one crossing. See src/submit.c for the other side.
"use strict";

const { native, OP, FLAG } = require("./native");
const { hasBinary, takeOut } = require("./binary");

/** Numbers of a record, in the order that src/submit.c reads. */
const RECORD = 10;
/** Operations after which there is no waiting for the end of the turn: enough that a crossing costs nothing by comparison. */
const OPS_MAX = 1024;
/** Characters likewise: the text is copied at once, and should not be much larger than a cache. */
const TEXT_MAX = 1 << 20;
/** Names of events that are interned. Those beyond are sent as text: a program that makes names up must not fill the engine's table. */
const ATOMS_MAX = 4096;

/** The text of a name or room, which a program may have from a client: an object whose `toString` is no function has none. */
function textOf(value) {
  try {
    return String(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}

/** A name or room among texts that newlines end. */
function plain(value) {
  const text = textOf(value);
  return /[\n\x1b]/.test(text) ? text.replace(/[\n\x1b]/g, (char) => (char === "\n" ? "\x1bn" : "\x1be")) : text;
}

function flagsOf(flags, ack) {
  let bits = ack ? FLAG.EXPECT_ACK : 0;
  if (flags) {
    if (flags.volatile) bits |= FLAG.VOLATILE;
    if (flags.compress === false) bits |= FLAG.COMPRESS_OFF;
    if (flags.local) bits |= FLAG.LOCAL;
  }
  return bits;
}

class Outbox {
  constructor(core) {
    this.core = core;
    this.records = new Uint32Array(OPS_MAX * RECORD);
    this.count = 0;
    this.text = "";
    this.attachments = [];
    /** `[record, what waits for its token, ...]` */
    this.awaited = [];
    this.atoms = new Map();
    this.scheduled = false;
    this.flushLater = () => {
      this.scheduled = false;
      this.flush();
    };
  }

  /** To one socket. `ack` has `settle(error, args)`. */
  emit(socket, name, args, flags, timeout, ack) {
    const before = this.attachments.length;
    const text = this.encode(args);
    const atom = this.atomOf(name);
    this.text += atom === 0 ? plain(name) + "\n" + text : text;
    if (ack) this.awaited.push(this.count, ack);
    const attachments = this.attachments.length - before;
    this.add(OP.EMIT, flagsOf(flags, ack), socket._low, socket._high, 0, atom, timeout, 0, 0, attachments);
  }

  /** To those in any of `rooms` (all, if there is none), and none of `except`. `ack` likewise. */
  broadcast(nsp, name, args, rooms, except, flags, timeout, ack) {
    const before = this.attachments.length;
    const text = this.encode(args);
    const atom = this.atomOf(name);
    this.text += atom === 0 ? plain(name) + "\n" + text : text;
    for (const room of rooms) this.text += plain(room) + "\n";
    for (const room of except) this.text += plain(room) + "\n";
    if (ack) this.awaited.push(this.count, ack);
    const attachments = this.attachments.length - before;
    this.add(OP.BROADCAST, flagsOf(flags, ack), 0, 0, nsp, atom, timeout, rooms.size, except.size, attachments);
  }

  ack(low, high, args) {
    const before = this.attachments.length;
    this.text += this.encode(args);
    this.add(OP.ACK, 0, low, high, 0, 0, 0, 0, 0, this.attachments.length - before);
  }

  join(socket, rooms) {
    this.rooms(OP.JOIN, socket, rooms);
  }

  leave(socket, rooms) {
    this.rooms(OP.LEAVE, socket, rooms);
  }

  disconnect(socket, flags) {
    this.add(OP.DISCONNECT, flags, socket._low, socket._high, 0, 0, 0, 0, 0, 0);
  }

  rooms(kind, socket, rooms) {
    const { mirror } = this.core;
    for (const room of rooms) {
      this.text += plain(room) + "\n";
      mirror?.expect(socket, room);
    }
    this.add(kind, 0, socket._low, socket._high, 0, 0, 0, rooms.length, 0, 0);
  }

  /** The arguments' JSON and a newline; their attachments are appended. What cannot be encoded throws before anything was changed. */
  encode(args) {
    if (args.length === 0) return "[]\n";
    const before = this.attachments.length;
    try {
      if (hasBinary(args)) args = takeOut(args, this.attachments);
      return JSON.stringify(args) + "\n";
    } catch (error) {
      this.attachments.length = before;
      throw error;
    }
  }

  atomOf(name) {
    const known = this.atoms.get(name);
    if (known !== undefined) return known;
    if (this.atoms.size >= ATOMS_MAX || typeof name !== "string") return 0;
    const atom = this.core.intern(name);
    this.atoms.set(name, atom);
    return atom;
  }

  add(kind, flags, low, high, nsp, atom, timeout, rooms, except, attachments) {
    const records = this.records;
    const at = this.count++ * RECORD;
    records[at] = kind;
    records[at + 1] = flags;
    records[at + 2] = low;
    records[at + 3] = high;
    records[at + 4] = nsp;
    records[at + 5] = atom;
    records[at + 6] = timeout;
    records[at + 7] = rooms;
    records[at + 8] = except;
    records[at + 9] = attachments;
    if (this.count === OPS_MAX || this.text.length > TEXT_MAX) this.flush();
    else if (!this.scheduled && !this.core.draining) {
      this.scheduled = true;
      process.nextTick(this.flushLater);
    }
  }

  flush() {
    if (this.count === 0) return;
    const { records, count, text, attachments, awaited } = this;
    this.count = 0;
    this.text = "";
    if (attachments.length !== 0) this.attachments = [];
    if (this.core.handle) native.submit(this.core.handle, records, count, text, attachments);
    else for (let i = 0; i < awaited.length; i += 2) records[awaited[i] * RECORD] = 1 << 31;
    if (awaited.length === 0) return;
    this.awaited = [];
    for (let i = 0; i < awaited.length; i += 2) {
      const at = awaited[i] * RECORD;
      this.core.expect((records[at] | 0) < 0, records[at + 2], records[at + 3], awaited[i + 1]);
    }
  }
}

module.exports = { Outbox, textOf };
