/** The official adapter for Redis's channels, as the environment has it. */
import { createAdapter } from "@socket.io/redis-adapter";

import { connectTwice } from "./redis-client.js";

/** Connects; the adapter, and what ends its connections. */
export async function open({ ADAPTER_PREFIX, REQUESTS_TIMEOUT, SPECIFIC_RESPONSE_CHANNEL, ...env }) {
  const [publisher, subscriber] = await connectTwice(env);
  const adapter = createAdapter(publisher, subscriber, {
    key: ADAPTER_PREFIX ?? "socket.io",
    requestsTimeout: Number(REQUESTS_TIMEOUT ?? 5000),
    publishOnSpecificResponseChannel: SPECIFIC_RESPONSE_CHANNEL === "1",
  });
  return { adapter, close: () => Promise.allSettled([publisher.quit(), subscriber.quit()]) };
}
