// The options of socket.io, as the engine takes them.
"use strict";

/** Taken as they are. */
const SAME = [
  "addTrailingSlash",
  "allowUpgrades",
  "pingInterval",
  "pingTimeout",
  "upgradeTimeout",
  "maxHttpBufferSize",
  "cookie",
  "httpCompression",
  "limits",
  "checkOrigin",
  "trustedProxies",
  "cleanupEmptyChildNamespaces",
  "shards",
  "queueEventsMax",
  "queueBytesMax",
];

/** What this package does not do yet, and does not pretend to: a program that needs it should hear of it when it starts. */
const MISSING = ["parser", "connectionStateRecovery", "allowEIO3"];

function engineOptions(server, opts) {
  for (const name of MISSING) {
    if (opts[name]) process.emitWarning(`the option ${name} is not supported yet, and has no effect`, "SockeyeWarning");
  }
  if (opts.perMessageDeflate) {
    process.emitWarning("WebSocket messages are not compressed yet: perMessageDeflate has no effect", "SockeyeWarning");
  }
  const options = { path: opts.path, connectTimeout: server.connectTimeout() };
  for (const name of SAME) if (opts[name] !== undefined) options[name] = opts[name];
  if (opts.transports) options.transports = opts.transports.filter((name) => name !== "webtransport");
  if (opts.cors && !dynamicCors(opts.cors)) options.cors = opts.cors;
  return options;
}

/** Whether only a program can tell whom it allows: Node then writes the headers. */
function dynamicCors(cors) {
  const dynamic = (value) =>
    typeof value === "function" || value instanceof RegExp || (Array.isArray(value) && value.some(dynamic));
  return dynamic(cors) || dynamic(cors.origin);
}

module.exports = { engineOptions, dynamicCors };
