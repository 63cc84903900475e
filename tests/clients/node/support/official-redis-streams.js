/** The official adapter for Redis Streams, as the environment has it. */
import { setTimeout as sleep } from "node:timers/promises";

import { createAdapter } from "@socket.io/redis-streams-adapter";

import { connect } from "./redis-client.js";

/**
 * The adapter asks for what comes after the end of a stream, again and again, until it has read something; what is added between two of these
 * questions it misses. This counts the streams in `unread` that none of the client's duplicates has read from yet.
 */
function watchReaders(client, unread) {
  const duplicate = client.duplicate.bind(client);
  client.duplicate = () => {
    const reader = duplicate();
    const xRead = reader.xRead.bind(reader);
    reader.xRead = async (streams, options) => {
      const found = await xRead(streams, options);
      if (found) unread.delete(streams[0].key);
      return found;
    };
    return reader;
  };
}

/** Connects; the adapter, which reads its streams already, and what ends its connection. */
export async function open({ ADAPTER_PREFIX = "socket.io", ADAPTER_OPTIONS, ...env }) {
  const client = await connect(env);
  const more = JSON.parse(ADAPTER_OPTIONS ?? "{}");
  const { streamName = ADAPTER_PREFIX, streamCount = 1 } = more;
  const unread = new Set(streamCount === 1 ? [streamName] : Array.from({ length: streamCount }, (_, number) => `${streamName}-${number}`));
  watchReaders(client, unread);
  const adapter = createAdapter(client, {
    streamName,
    channelPrefix: ADAPTER_PREFIX,
    // So often it asks whether it was closed.
    blockTimeInMs: 200,
    ...more,
  });
  while (unread.size !== 0) {
    // What has no namespace nobody looks at.
    await Promise.all([...unread].map((stream) => client.xAdd(stream, "*", { nothing: "at all" })));
    await sleep(20);
  }
  return { adapter, close: () => client.disconnect() };
}
