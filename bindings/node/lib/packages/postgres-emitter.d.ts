import { type DefaultEventsMap, Emitter as Base, type EventsMap } from "../../index";

/** As of `@socket.io/postgres-emitter`. */
export class Emitter<EmitEvents extends EventsMap = DefaultEventsMap, ServerSideEvents extends EventsMap = DefaultEventsMap> extends Base<EmitEvents, ServerSideEvents> {
  constructor(pool: any, nsp?: string, opts?: { [option: string]: any });
}
