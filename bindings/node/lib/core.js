// One native engine: what comes out of its queue, batch by batch, to the sockets that it concerns.
"use strict";

const { native, EVENT, FLAG, NSP, ROOM, ERR } = require("./native");
const { Mirror } = require("./mirror");
const { Outbox } = require("./outbox");
const { putIn } = require("./binary");

/** Bytes of a batch: some hundred small events. It grows for an event that is larger, and shrinks after it. */
const BATCH_BYTES = 128 * 1024;
/** Batches after which other work of the loop gets its turn. */
const BATCHES_MAX = 16;
/** Names of received events that are interned; see `name`. */
const NAMES_MAX = 4096;

/** 32-bit numbers of a batch's head, and of a record (sockeye_packed). */
const HEAD = 4;
const RECORD = 16;

class Core {
  /**
   * @param options of the engine, by their official names
   * @param host `{ onAuthorize, onNamespaceRequest, onNamespace, onServerMessage, onAdapter, onNotes, onClosed }`
   */
  constructor(options, host) {
    this.host = host;
    this.handle = native.create(JSON.stringify(options), (notes) => this.wake(notes));
    this.outbox = new Outbox(this);
    /** Sockets by the low half of their id. */
    this.sockets = [];
    this.socketCount = 0;
    /** What waits for an acknowledgement, by token. */
    this.awaited = new Map();
    /** Numbers of the namespaces that the program made, which the engine keeps. */
    this.namespaces = new Map();
    /** Clients make namespaces, and the last of them takes one along. */
    this.cleansUp = options.cleanupEmptyChildNamespaces === true;
    this.names = [];
    /** Whether anybody wants to be told of what is emitted to single sockets: `packetCreate` of a connection, `onAnyOutgoing`. */
    this.observed = false;
    this.use(Buffer.allocUnsafeSlow(BATCH_BYTES));
    this.draining = false;
    this.closing = false;
    this.at = this.count = 0;
    this.args = null;
    /** In a cluster. */
    this.mirror = undefined;
  }

  // ---- from the engine ------------------------------------------------------------------------------------------------------

  /** What a request brought is handled before it is answered, as in the official server. */
  wake(notes) {
    try {
      this.drain();
    } finally {
      if (notes !== undefined) this.host.onNotes(notes);
    }
  }

  /** Handles what waits. If a handler throws, Node hears of it as always, and the rest of the batch is handled afterwards. */
  drain() {
    if (this.draining || this.handle === null) return;
    this.draining = true;
    let whole = false;
    try {
      for (let batches = 0; batches < BATCHES_MAX && !whole; batches++) {
        while (this.at < this.count) this.dispatch(this.at++);
        this.outbox.flush();
        whole = !this.next();
      }
    } finally {
      this.draining = false;
      this.outbox.flush();
      if (!whole) setImmediate(() => this.drain());
    }
  }

  use(buffer) {
    this.buffer = buffer;
    this.words = new Uint32Array(buffer.buffer, buffer.byteOffset, buffer.length / 4);
  }

  /** Polls the next batch; false if there is none. */
  next() {
    if (this.handle === null) return false;
    if (this.buffer.length > BATCH_BYTES) this.use(Buffer.allocUnsafeSlow(BATCH_BYTES));
    let count = native.poll(this.handle, this.buffer);
    while (count === ERR.TOO_BIG) {
      this.use(Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(this.words[0]))));
      count = native.poll(this.handle, this.buffer);
    }
    if (count < 0) this.closed();
    if (count <= 0) return false;
    const joined = this.words[2];
    this.args = JSON.parse(this.buffer.utf8Slice(joined, joined + this.words[3]));
    this.at = 0;
    this.count = count;
    return true;
  }

  dispatch(index) {
    const words = this.words;
    const at = HEAD + index * RECORD;
    const kind = words[at] & 0xffff;
    if (kind === EVENT.AUTHORIZE) return this.host.onAuthorize(words[at + 1], this.idsAt(at), this.args[index]);
    if (kind === EVENT.NAMESPACE_REQUEST) {
      return this.host.onNamespaceRequest(this.text(at + 10), words[at + 8], words[at + 9], this.args[index] || {});
    }
    if (kind === EVENT.NAMESPACE || kind === EVENT.NAMESPACE_GONE) {
      return this.host.onNamespace(kind === EVENT.NAMESPACE, words[at + 1], this.text(at + 10));
    }
    if (kind === EVENT.ACK) return this.acknowledged(at, index);
    if (kind === EVENT.SERVER_ACK || kind === EVENT.SOCKETS) return this.acknowledged(at, index);
    if (kind === EVENT.SERVER_MESSAGE) {
      const args = words[at + 15] === 0 ? this.args[index] : putIn(this.args[index], this.attachmentsAt(at));
      return this.host.onServerMessage(words[at + 1], this.text(at + 10), args, words[at + 8], words[at + 9]);
    }
    if (kind === EVENT.ADAPTER_UP || kind === EVENT.ADAPTER_DOWN) {
      return this.host.onAdapter(kind === EVENT.ADAPTER_UP, this.args[index].reason);
    }
    const socket = this.sockets[words[at + 4]];
    if (socket === undefined || socket._high !== words[at + 5]) return; // it was disconnected here, with events under way
    if (kind === EVENT.MESSAGE) {
      const args = words[at + 15] === 0 ? this.args[index] : putIn(this.args[index], this.attachmentsAt(at));
      socket._onevent(this.name(at, socket), args, words[at + 8], words[at + 9]);
    } else if (kind === EVENT.CONNECT) socket._onconnect();
    else if (kind === EVENT.DISCONNECT) this.disconnected(socket, this.text(at + 10), this.args[index]);
    else if (kind === EVENT.UPGRADE) socket.client._onupgrade(this.text(at + 10));
    else if (kind === EVENT.WITHDRAWN) socket._cleanup(this.text(at + 10));
    else if (kind === EVENT.ROOM && (words[at + 3] === ROOM.JOIN || words[at + 3] === ROOM.LEAVE)) {
      this.mirror?.changed(socket, this.text(at + 10), words[at + 3] === ROOM.JOIN);
    }
  }

  /** What the client sent against the protocol is an `error` of the socket first, as in the official server. */
  disconnected(socket, reason, details) {
    const { description } = details;
    if (reason === "forced close" && description !== undefined) socket._onerror(new Error(description));
    socket._onclose(reason, description === undefined ? undefined : details);
  }

  idsAt(at) {
    const words = this.words;
    return { low: words[at + 4], high: words[at + 5], tokenLow: words[at + 8], tokenHigh: words[at + 9] };
  }

  text(at) {
    const from = this.words[at];
    return this.buffer.utf8Slice(from, from + this.words[at + 1]);
  }

  attachmentsAt(at) {
    const attachments = [];
    let from = this.words[at + 14];
    for (let left = this.words[at + 15]; left > 0; left--) {
      const len = this.buffer.readUInt32LE(from);
      attachments.push(Buffer.from(this.buffer.subarray(from + 4, from + 4 + len)));
      from += 4 + len;
    }
    return attachments;
  }

  /** The name of an event. One that the program listens to is interned, so that it comes as a number from then on; others are clients' inventions. */
  name(at, socket) {
    const atom = this.words[at + 2];
    if (atom !== 0 && this.names[atom] !== undefined) return this.names[atom];
    const name = this.text(at + 10);
    if (atom !== 0) this.names[atom] = name;
    else if (this.names.length < NAMES_MAX && socket.listenerCount(name) > 0) this.names[this.intern(name)] = name;
    return name;
  }

  acknowledged(at, index) {
    const words = this.words;
    const token = tokenOf(words[at + 8], words[at + 9]);
    const ack = this.awaited.get(token);
    if (ack === undefined) return;
    let args = this.args[index];
    if (words[at] >>> 16 === FLAG.PARTIAL) {
      if (words[at + 15] !== 0) args = putIn(args, this.attachmentsAt(at));
      return ack.partial(args);
    }
    this.awaited.delete(token);
    const failed = (words[at + 3] | 0) !== 0;
    if (!failed && words[at + 15] !== 0) args = putIn(args, this.attachmentsAt(at));
    ack.settle(failed, args);
  }

  // ---- to the engine --------------------------------------------------------------------------------------------------------

  intern(name) {
    return this.handle === null ? 0 : native.atom(this.handle, name);
  }

  /** What an emission was given to wait for. */
  expect(failed, low, high, ack) {
    if (failed) ack.fail();
    else this.awaited.set(tokenOf(low, high), ack);
  }

  /** Joins a cluster, before there are sockets. */
  join({ kind, options }) {
    native.setAdapter(this.handle, kind, JSON.stringify(options));
    this.mirror = new Mirror(this);
    for (const name of this.namespaces.keys()) this.define(name);
  }

  /** Each namespace asks before a socket joins it; the id. */
  namespace(name) {
    let id = this.namespaces.get(name);
    if (id === undefined) this.namespaces.set(name, (id = this.define(name)));
    return id;
  }

  define(name) {
    return native.namespace(this.handle, name, NSP.AUTHORIZE | (this.mirror === undefined ? 0 : NSP.ROOM_EVENTS));
  }

  nameOf(id) {
    return this.handle === null ? undefined : native.nameOf(this.handle, id);
  }

  /** From now on names that were not made are asked for. What clients then make is as the pattern is now, though a cluster may be joined later. */
  ask() {
    native.pattern(this.handle, NSP.ASK | NSP.AUTHORIZE | (this.mirror === undefined && !this.cleansUp ? 0 : NSP.ROOM_EVENTS));
  }

  /** Answers a decision; false if nobody waits for it any more. */
  decide(low, high, accept, message, data) {
    return this.handle !== null && native.decide(this.handle, low, high, accept, message, data) === 0;
  }

  add(socket) {
    this.sockets[socket._low] = socket;
    if (this.socketCount++ === 0 && this.handle !== null) native.hold(this.handle, true);
  }

  remove(socket) {
    if (this.sockets[socket._low] !== socket) return;
    this.sockets[socket._low] = undefined;
    this.mirror?.forget(socket);
    if (--this.socketCount === 0 && !this.closing && this.handle !== null) native.hold(this.handle, false);
  }

  close(graceMs) {
    if (this.closing) return;
    this.closing = true;
    this.outbox.flush();
    native.hold(this.handle, true);
    native.close(this.handle, graceMs);
  }

  /** The queue's last event is through. */
  closed() {
    const notes = native.free(this.handle);
    this.handle = null;
    if (notes !== undefined) this.host.onNotes(notes);
    for (const ack of this.awaited.values()) ack.fail();
    this.awaited.clear();
    this.host.onClosed();
  }
}

/** A number for a 64-bit token: its slot, kind and as much of its generation as fits. A slot is one token's at a time. */
function tokenOf(low, high) {
  return ((high >>> 30) * 0x80000 + (high & 0x7ffff)) * 4294967296 + low;
}

module.exports = { Core };
