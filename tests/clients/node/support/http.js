/** Plain HTTP without a client library's opinions: headers as sent and received, no redirects, no decoding. */
import http from "node:http";
import net from "node:net";

// Every answer that a test waits for comes within this time, or the server has lost the request.
const ANSWER_TIMEOUT_MS = 20_000;

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
 * Writes `bytes` to a fresh TCP connection and gives all that comes back until it matches `until`, the server closes the connection, or
 * `quietMs` pass without a byte. For requests that no HTTP library would send.
 */
export function rawExchange(port, bytes, { until = null, quietMs = ANSWER_TIMEOUT_MS } = {}) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    const socket = net.connect(port, "127.0.0.1", () => socket.write(bytes));
    const finish = () => {
      socket.destroy();
      resolve(Buffer.concat(chunks).toString("latin1"));
    };
    socket.setTimeout(quietMs, finish);
    socket.on("data", (chunk) => {
      chunks.push(chunk);
      if (until?.test(Buffer.concat(chunks).toString("latin1"))) finish();
    });
    socket.once("end", finish);
    socket.once("error", reject);
  });
}

/**
 * Sends a request that waits for its answer, and resolves once the server has it: another request, which went before it on the same
 * connection, is answered then. That is certain if the server has one I/O thread. The field `answer` of the result is the promise of what it
 * is answered: `{status, headers, body, text}`.
 */
export async function requestThatWaits(port, method, path, headers = {}) {
  const head = (line, more) => [line, "Host: test", ...more].join("\r\n") + "\r\n\r\n";
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const socket = net.connect(port, "127.0.0.1", () => {
    socket.write(head("GET /nothing HTTP/1.1", []) + head(`${method} ${path} HTTP/1.1`, [...lines, "Connection: close"]));
  });
  let received = Buffer.alloc(0);
  const length = () => {
    const first = takeAnswer(received);
    return first ? first.length : 0;
  };
  const ended = new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("end", () => resolve(socket.destroy()));
  });
  await new Promise((resolve, reject) => {
    ended.then(() => reject(new Error("the connection ended before it was held")), reject);
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (length() > 0) resolve();
    });
  });
  return { answer: ended.then(() => takeAnswer(received.subarray(length()))) };
}

/** The first answer of these bytes, and its `length`; `null` if it is not there yet. */
function takeAnswer(bytes) {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return null;
  const [status, ...lines] = bytes.subarray(0, end).toString("latin1").split("\r\n");
  const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]));
  const length = end + 4 + Number(headers["content-length"]);
  if (bytes.length < length) return null;
  const body = bytes.subarray(end + 4, length);
  return { status: Number(status.split(" ")[1]), headers, body, text: body.toString(), length };
}
