// In place of `@socket.io/postgres-adapter`.
"use strict";

module.exports = { createAdapter: require("../cluster").createPostgresAdapter };
