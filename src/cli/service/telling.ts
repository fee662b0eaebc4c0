/** The events of messages and writes, which are told where the service is served: in the thread of the server, or in its workers. */
import type { ServiceEvent } from '../service-events.js';
import type { ServiceOptions } from './message-service.js';
import { serviceTagName } from './service-tags.js';

export type Emit = (event: ServiceEvent) => void;

/** Parameter of the address of a worker's module: the name of the channel on which it tells its events. */
export const EVENTS = 'events';

export const tellingHooks = (emit: Emit): Required<Pick<ServiceOptions, 'onMessage' | 'onWrite'>> => ({
  onMessage(connection, message) {
    const type = serviceTagName(message.tag);
    emit({ event: 'message', client: connection.id, type, bytes: message.data.length });
  },
  onWrite(connection, _, acknowledgement) {
    emit({ event: 'write', client: connection.id, ...acknowledgement });
  },
});
