/** The official adapter for Redis's channels of shards, as the environment has it. */
import { createShardedAdapter } from "@socket.io/redis-adapter";

import { connectTwice } from "./redis-client.js";

/** Connects; the adapter, and what ends its connections. */
export async function open({ ADAPTER_PREFIX, SUBSCRIPTION_MODE, ...env }) {
  const [publisher, subscriber] = await connectTwice(env);
  const adapter = createShardedAdapter(publisher, subscriber, {
    channelPrefix: ADAPTER_PREFIX ?? "socket.io",
    subscriptionMode: SUBSCRIPTION_MODE ?? "dynamic",
  });
  return { adapter, close: () => Promise.allSettled([publisher.quit(), subscriber.quit()]) };
}
