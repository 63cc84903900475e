// In place of `@socket.io/redis-adapter`.
"use strict";

const { createAdapter, createShardedAdapter } = require("../cluster");

module.exports = { createAdapter, createShardedAdapter };
