// In place of `@socket.io/redis-streams-adapter`.
"use strict";

module.exports = { createAdapter: require("../cluster").createStreamsAdapter };
