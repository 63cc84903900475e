// The addon, from `prebuilds/` or `build/`, and the numbers of sockeye.h that JavaScript needs.
"use strict";

const path = require("node:path");

const native = require("node-gyp-build")(path.join(__dirname, ".."));

module.exports = {
  native,
  EVENT: {
    NAMESPACE_REQUEST: 2,
    AUTHORIZE: 3,
    CONNECT: 4,
    MESSAGE: 5,
    ACK: 6,
    DISCONNECT: 8,
    UPGRADE: 9,
    SERVER_MESSAGE: 10,
    SERVER_ACK: 11,
    SOCKETS: 12,
    ROOM: 13,
    NAMESPACE: 19,
    ADAPTER_DOWN: 24,
    ADAPTER_UP: 25,
    NAMESPACE_GONE: 26,
    WITHDRAWN: 27,
  },
  FLAG: { PARTIAL: 1, VOLATILE: 1, COMPRESS_OFF: 2, LOCAL: 4, EXPECT_ACK: 8 },
  CLOSE: { TRANSPORT: 1, SILENT: 2 },
  NSP: { AUTHORIZE: 1, ROOM_EVENTS: 2, ASK: 4 },
  ROOM: { JOIN: 2, LEAVE: 3 },
  OP: { EMIT: 1, BROADCAST: 2, ACK: 3, JOIN: 4, LEAVE: 5, DISCONNECT: 6 },
  ERR: { CLOSED: -4, TOO_BIG: -6 },
  NOTE: { ANSWER: 0, SEND: 1, ROOM: 2, CLOSE: 3 },
};
