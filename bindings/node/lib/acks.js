// Acknowledgements that were asked for: what the engine tells of them, as the callback that the program gave.
"use strict";

const timedOut = () => new Error("operation has timed out");

/** Of one socket. Without a timeout the callback gets the arguments, with one an error or null before them. */
class SocketAck {
  constructor(socket, callback, timeout) {
    this.socket = socket;
    this.callback = callback;
    this.timeout = timeout;
  }

  settle(failed, args) {
    if (this.timeout === undefined) {
      if (!failed) this.callback.apply(this.socket, args);
    } else if (failed) this.callback.call(this.socket, timedOut());
    else this.callback.call(this.socket, null, ...args);
  }

  /** It was not even sent: nobody will answer. */
  fail() {
    if (this.timeout !== undefined) setTimeout(() => this.settle(true), this.timeout);
  }
}

/** Of a broadcast: the first argument of each answer. */
class BroadcastAck {
  constructor(operator, callback, single) {
    this.operator = operator;
    this.callback = callback;
    this.single = single;
    this.responses = [];
  }

  partial(args) {
    this.responses.push(args[0]);
  }

  settle(failed) {
    const { responses, single } = this;
    if (failed) this.callback.call(this.operator, timedOut(), single ? null : responses);
    else this.callback.call(this.operator, null, single ? responses[0] : responses);
  }

  fail() {
    setImmediate(() => this.settle(true));
  }
}

module.exports = { SocketAck, BroadcastAck };
