// What `of` makes of a regular expression or a function: the pattern that its children are made after, and a way to tell them all.
"use strict";

const { Namespace } = require("./namespace");
const { Adapter } = require("./adapter");

/** Broadcasts to each child. */
class ParentAdapter extends Adapter {
  broadcastEvent(ev, args, opts, ack) {
    if (ack) throw new Error("acknowledgements are not supported on parent namespaces");
    for (const child of this.nsp.children) child.adapter.broadcastEvent(ev, args, opts);
  }
}

class ParentNamespace extends Namespace {
  constructor(server) {
    super(server, "/_" + server._parentCount++);
    this.children = new Set();
  }

  _initAdapter() {
    this.adapter = new ParentAdapter(this);
  }

  emit(ev, ...args) {
    for (const child of this.children) child.emit(ev, ...args);
    return true;
  }

  /** `asked`: for a client, so that the engine makes it too, and ends it when it is cleaned up. */
  createChild(name, asked = false) {
    const child = new Namespace(this.server, name);
    child._fns = this._fns.slice();
    for (const ev of ["connect", "connection"]) for (const listener of this.listeners(ev)) child.on(ev, listener);
    this.children.add(child);
    if (this.server._opts.cleanupEmptyChildNamespaces) {
      const remove = child._remove;
      child._remove = (socket) => {
        remove.call(child, socket);
        if (child.sockets.size !== 0 || child._preConnectSockets.size !== 0) return;
        child.adapter.close();
        this.server._nsps.delete(name);
        this.children.delete(child);
      };
    }
    this.server._addNamespace(child, asked && this.server._opts.cleanupEmptyChildNamespaces);
    this.server.sockets.emitReserved("new_namespace", child);
    return child;
  }

  fetchSockets() {
    throw new Error("fetchSockets() is not supported on parent namespaces");
  }
}

module.exports = { ParentNamespace };
