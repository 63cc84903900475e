// The rooms of a namespace in a cluster: what concerns the sockets of all servers goes through the engine, which tells the others.
"use strict";

const { Adapter } = require("./adapter");
const { hasBinary, takeOut } = require("./binary");
const { native, CLOSE } = require("./native");
const { textOf } = require("./outbox");

const texts = (rooms) => Array.from(rooms ?? [], textOf);

/** What waits for a list, or for a number. */
class Answer {
  constructor(what, resolve, reject) {
    this.what = what;
    this.resolve = resolve;
    this.reject = reject;
  }

  settle(failed, value) {
    if (failed) this.reject(new Error(`timeout reached while waiting for ${this.what} response`));
    else this.resolve(value);
  }

  fail() {
    this.reject(new Error("the server is closed"));
  }
}

/** What the other servers reply to an event. */
class ServerAck {
  constructor(callback) {
    this.callback = callback;
    this.responses = [];
  }

  partial(args) {
    this.responses.push(args[0]);
  }

  settle(failed, { expected, received } = {}) {
    const text = `timeout reached: only ${received} responses received out of ${expected}`;
    this.callback(failed ? new Error(text) : null, this.responses);
  }

  fail() {
    this.callback(new Error("the server is closed"), this.responses);
  }
}

class ClusterAdapter extends Adapter {
  /** The engine, with everything submitted that was done before; undefined if there is none. */
  _engine() {
    const core = this.nsp.server._core;
    if (core === undefined || core.handle === null || this.nsp._idIn(core) === 0) return undefined;
    core.outbox.flush();
    return core;
  }

  /** Asks through the engine; `ask(handle, nsp)` gives the token of the answer. */
  _ask(core, what, ask) {
    return new Promise((resolve, reject) => {
      const [low, high] = ask(core.handle, this.nsp._idIn(core));
      core.expect(false, low, high, new Answer(what, resolve, reject));
    });
  }

  async serverCount() {
    const core = this._engine();
    if (core === undefined) return 1;
    return (await this._ask(core, "serverCount", (handle, nsp) => native.serverCount(handle, nsp))).count;
  }

  /** Sockets of this process are given as they are, those of others by their details. */
  async fetchSockets(opts) {
    const core = opts.flags?.local ? undefined : this._engine();
    if (core === undefined) return super.fetchSockets(opts);
    const ask = (handle, nsp) => native.fetch(handle, nsp, texts(opts.rooms), texts(opts.except));
    const found = await this._ask(core, "fetchSockets", ask);
    return found.map((details) => this.nsp.sockets.get(details.id) ?? details);
  }

  // Here first, so that who asks right afterwards sees it; the engine then finds nothing more to do here.

  addSockets(opts, rooms) {
    super.addSockets(opts, rooms);
    this._move(opts, rooms, true);
  }

  delSockets(opts, rooms) {
    super.delSockets(opts, rooms);
    this._move(opts, rooms, false);
  }

  _move(opts, rooms, join) {
    const core = opts.flags?.local ? undefined : this._engine();
    if (core === undefined) return;
    native.move(core.handle, this.nsp._idIn(core), texts(opts.rooms), texts(opts.except), texts(rooms), join);
  }

  disconnectSockets(opts, close) {
    super.disconnectSockets(opts, close);
    const core = opts.flags?.local ? undefined : this._engine();
    if (core === undefined) return;
    const flags = close ? CLOSE.TRANSPORT : 0;
    native.disconnectAll(core.handle, this.nsp._idIn(core), texts(opts.rooms), texts(opts.except), flags);
  }

  serverSideEmit(args) {
    const ack = typeof args[args.length - 1] === "function" ? args.pop() : undefined;
    const core = this._engine();
    if (core === undefined) {
      if (ack !== undefined) process.nextTick(ack, null, []);
      return;
    }
    const [ev, ...rest] = args;
    const attachments = [];
    const text = JSON.stringify(hasBinary(rest) ? takeOut(rest, attachments) : rest);
    const token = native.serverEmit(core.handle, this.nsp._idIn(core), String(ev), text, attachments, ack !== undefined);
    if (ack !== undefined) core.expect(false, token[0], token[1], new ServerAck(ack));
  }

  /** Another server has moved a socket of this one. */
  moved(socket, room, joined) {
    if (room === socket.id) socket._inOwn = joined;
    else if (!joined) {
      if (socket._rooms?.delete(room)) this.exit(socket, room);
    } else if (!socket._rooms?.has(room)) {
      (socket._rooms ??= new Set()).add(room);
      this.enter(socket, room);
    }
  }
}

module.exports = { ClusterAdapter };
