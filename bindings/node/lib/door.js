// WebSocket handshakes taken at the door: from what a plain HTTP server has just accepted, before Node makes a connection of it. See src/door.c.
"use strict";

const http = require("node:http");

/**
 * Lets `take(descriptor)` have each connection that a server accepts; true if it took it. Not while anybody listens to the server's
 * connections, who would miss it. What a server accepts by reaches us through a property that Node does not document: without it
 * everything goes the documented way.
 */
function standAtTheDoor(httpServer, take) {
  if (!(httpServer instanceof http.Server)) return;
  const stand = () => {
    const handle = httpServer._handle;
    const onconnection = handle?.onconnection;
    if (typeof onconnection !== "function") return;
    handle.onconnection = function (failed, connection) {
      const fd = failed ? -1 : connection?.fd;
      // One listener is the server itself.
      if (fd >= 0 && httpServer.listenerCount("connection") === 1 && take(fd)) connection.close();
      else Reflect.apply(onconnection, this, arguments);
    };
  };
  if (httpServer.listening) stand();
  httpServer.on("listening", stand);
}

module.exports = { standAtTheDoor };
