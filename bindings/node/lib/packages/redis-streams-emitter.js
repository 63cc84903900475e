// In place of `@socket.io/redis-streams-emitter`.
"use strict";

const { ofRedis } = require("../cluster");
const { Emitter } = require("../emitter");

class RedisStreamsEmitter extends Emitter {
  constructor(client, opts = {}, nsp = "/") {
    super({ kind: "redis-streams", ...ofRedis(client), ...opts }, undefined, nsp);
  }
}

module.exports = { Emitter: RedisStreamsEmitter };
