// sockeye for Node: the API of socket.io on a native engine. See README.md and COMPAT.md.
"use strict";

const { Server } = require("./lib/server");
const { Namespace } = require("./lib/namespace");
const { Socket } = require("./lib/socket");
const { BroadcastOperator, RemoteSocket } = require("./lib/broadcast-operator");
const { createAdapter } = require("./lib/cluster");
const { Emitter } = require("./lib/emitter");

module.exports = (srv, opts) => new Server(srv, opts);
Object.assign(module.exports, { Server, Namespace, Socket, BroadcastOperator, RemoteSocket, Emitter, createAdapter });
