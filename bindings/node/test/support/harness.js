// Servers on free ports with official clients, closed when their test is over.
"use strict";

const { createServer } = require("node:http");
const { once } = require("node:events");
const ioc = require("socket.io-client");
const { Server } = require("../..");

/** `{ io, httpServer, url, client(nsp, options) }` for the test `t`. */
async function serve(t, options = {}, httpServer = createServer(), scheme = "http") {
  const io = new Server(httpServer, options);
  httpServer.listen(0, "127.0.0.1");
  await once(httpServer, "listening");
  const url = `${scheme}://127.0.0.1:${httpServer.address().port}`;
  const clients = [];
  t.after(async () => {
    for (const client of clients) client.close();
    await io.close();
  });
  const client = (nsp = "/", clientOptions = {}) => {
    const socket = ioc(url + nsp, { forceNew: true, reconnection: false, rejectUnauthorized: false, ...clientOptions });
    clients.push(socket);
    return socket;
  };
  return { io, httpServer, url, client };
}

/** The arguments of the next event `name`. */
const next = (emitter, name) => new Promise((resolve) => emitter.once(name, (...args) => resolve(args)));

module.exports = { serve, next };
