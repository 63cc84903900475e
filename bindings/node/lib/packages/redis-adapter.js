// In place of `@socket.io/redis-adapter`.
"use strict";

const { createAdapter } = require("../cluster");

module.exports = { createAdapter };
