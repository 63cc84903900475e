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
      const pass = () => Reflect.apply(onconnection, this, [failed, connection]);
      // One listener is the server itself.
      if (failed || !(connection?.fd >= 0) || httpServer.listenerCount("connection") !== 1) return pass();
      const look = (again) => {
        const found = take(connection.fd);
        if (found > 0 || httpServer._handle !== handle) connection.close();
        else if (found < 0 && again) setImmediate(look, false);
        else pass();
      };
      look(true);
    };
  };
  if (httpServer.listening) stand();
  httpServer.on("listening", stand);
}

module.exports = { standAtTheDoor };
