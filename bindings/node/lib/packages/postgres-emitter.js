// In place of `@socket.io/postgres-emitter`.
"use strict";

const { ofPostgres } = require("../cluster");
const { Emitter } = require("../emitter");

class PostgresEmitter extends Emitter {
  constructor(pool, nsp = "/", opts = {}) {
    super({ kind: "postgres", ...ofPostgres(pool), ...opts }, undefined, nsp);
  }
}

module.exports = { Emitter: PostgresEmitter };
