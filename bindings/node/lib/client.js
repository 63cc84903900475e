// A connection, with the sockets that it has in namespaces; and what stands in for Engine.IO's own socket, as far as a native engine can
// tell of it.
"use strict";

const { EventEmitter } = require("node:events");
const { CLOSE } = require("./native");

/** The header by which a handshake is found again among the requests that this process passed on. */
const GUEST_HEADER = "x-sockeye-guest";

const TRANSPORTS = { 1: "polling", 2: "websocket" };

/** `conn`: Engine.IO's socket. */
class Conn extends EventEmitter {
  constructor(client) {
    super();
    this.client = client;
    this.id = client.id;
    this.protocol = 4;
    this.readyState = "open";
    this.request = client.request; // before the client has a `conn`
    this.on("newListener", (ev) => {
      if (ev === "packetCreate") client.core.observed = true;
    });
  }

  get server() {
    return this.client.server.engine;
  }

  get transport() {
    return { name: this.client.transport, writable: this.readyState === "open" };
  }

  get upgraded() {
    return this.client.upgraded;
  }

  get remoteAddress() {
    return this.client._handshake().address;
  }

  close() {
    this.client._close();
    return this;
  }
}

class Client {
  /** `request` is Node's, if the program has seen it; else it is made up from the handshake. */
  constructor(server, core, number, request) {
    this.server = server;
    this.core = core;
    this.number = number;
    this.transport = undefined;
    /** The first of its sockets, which knows the handshake; before there is one, the handshake as JSON. */
    this._first = undefined;
    if (request !== undefined) this._request = request;
  }

  /** Those that have not left; mostly one. */
  get sockets() {
    const { _first, _others } = this;
    const first = typeof _first === "object" && !_first._gone ? [_first] : [];
    return _others === undefined ? first : [...first, ..._others];
  }

  get id() {
    return String(this.number);
  }

  get conn() {
    return (this._conn ??= new Conn(this));
  }

  get request() {
    if (this._conn !== undefined) return this._conn.request;
    return (this._request ??= requestOf(this._handshake()));
  }

  /** Its first socket is to come: `info` is as for Socket. */
  _met(info) {
    this.transport = TRANSPORTS[info[1]];
    this._first = info[2];
  }

  _handshake() {
    return typeof this._first === "string" ? this._describe(this._first) : this._first.handshake;
  }

  /** The handshake from its JSON. The official server describes the request that it has; one that was deleted is described as nothing. */
  _describe(json) {
    const handshake = JSON.parse(json);
    delete handshake.headers[GUEST_HEADER];
    if (this._conn !== undefined && !this._conn.request) {
      return { ...handshake, headers: {}, query: {}, url: undefined, xdomain: false, secure: true };
    }
    return handshake;
  }

  _add(socket) {
    if (typeof this._first === "string") this._first = socket;
    else (this._others ??= []).push(socket);
  }

  /** `reason` is given when a socket left or its client did, and empty when the program took too long to decide. */
  _remove(socket, reason) {
    if (this._others !== undefined) this._others = this._others.filter((known) => known !== socket);
    if (this.sockets.length !== 0) return;
    this.server._clients.delete(this.number);
    if (!reason || reason.endsWith("namespace disconnect") || this._conn === undefined) return;
    this._conn.readyState = "closed";
    this._conn.emit("close", reason);
  }

  _onupgrade(transport) {
    if (this.transport === transport) return;
    this.transport = transport;
    this.upgraded = true;
    if (this._conn !== undefined) this._conn.emit("upgrade", this._conn.transport);
  }

  /** A packet was made, for those who asked to be told. */
  _created(flags) {
    if (this._conn === undefined) return;
    this._conn.emit("packetCreate", { type: "message", options: { compress: flags?.compress !== false } });
  }

  /** Ends the connection and each of its sockets. */
  _disconnect(first = this.sockets[0]) {
    if (first === undefined) return;
    this.core.outbox.disconnect(first, CLOSE.TRANSPORT);
    for (const socket of this.sockets) socket._onclose("server namespace disconnect");
    if (this._conn !== undefined) {
      this._conn.readyState = "closed";
      this._conn.emit("close", "forced close");
    }
  }

  _close() {
    if (this.sockets.length !== 0) this.sockets[0]._closeTransport();
  }
}

// What few clients have is no field of each.
Object.assign(Client.prototype, { upgraded: false, issued: 0, _request: undefined, _others: undefined, _conn: undefined });

/** What programs read of the first request. */
function requestOf(handshake) {
  const socket = { remoteAddress: handshake.address, encrypted: handshake.secure };
  return {
    method: "GET",
    url: handshake.url,
    headers: handshake.headers,
    _query: handshake.query,
    socket,
    connection: socket,
  };
}

module.exports = { Client, GUEST_HEADER };
