/** Plain HTTP without a client library's opinions: headers as sent and received, no redirects, no decoding. */
import http from "node:http";
import net from "node:net";

// Every answer that a test waits for comes within this time, or the server has lost the request.
const ANSWER_TIMEOUT_MS = 10_000;

/**
 * Sends one request on a connection of its own.
 *
 * Gives `{status, headers, rawHeaders, body, text}`: header names in lower case in `headers` and as written in
 * `rawHeaders`, `body` the bytes, `text` the same as UTF-8. `options`: `headers`, `body`, `agent`, `timeoutMs`.
 */
export function request(port, method, path, options = {}) {
  return new Promise((resolve, reject) => {
    const outgoing = http.request({
      host: "127.0.0.1",
      port,
      method,
      path,
      headers: options.headers ?? {},
      agent: options.agent ?? false,
    });
    outgoing.setTimeout(options.timeoutMs ?? ANSWER_TIMEOUT_MS, () => {
      outgoing.destroy(new Error(`no answer to ${method} ${path}`));
    });
    outgoing.once("error", reject);
    outgoing.once("response", (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.once("error", reject);
      response.once("end", () => {
        const body = Buffer.concat(chunks);
        const { statusCode: status, headers, rawHeaders } = response;
        resolve({ status, headers, rawHeaders, body, text: body.toString() });
      });
    });
    outgoing.end(options.body);
  });
}

/**
 * Writes `bytes` to a fresh TCP connection and gives all that comes back until the server closes it, or until
 * `quietMs` pass without a byte. For requests that no HTTP library would send.
 */
export function rawExchange(port, bytes, quietMs = 1_000) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    const socket = net.connect(port, "127.0.0.1", () => socket.write(bytes));
    const finish = () => {
      socket.destroy();
      resolve(Buffer.concat(chunks).toString("latin1"));
    };
    socket.setTimeout(quietMs, finish);
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.once("end", finish);
    socket.once("error", reject);
  });
}
