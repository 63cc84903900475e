// In place of `@socket.io/redis-emitter`.
"use strict";

module.exports = { Emitter: require("../emitter").Emitter };
