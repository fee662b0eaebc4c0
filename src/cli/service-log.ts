/** Which event of a server goes to the log, and how loud. */
import type { Logger } from '../observe/log.js';
import type { ServiceEvent } from './service-events.js';

export function logServiceEvent(logger: Logger, event: ServiceEvent): void {
  const { event: name, ...fields } = event;
  logger[levelOf(event)](fields, name);
}

function levelOf(event: ServiceEvent): 'debug' | 'info' | 'warn' | 'error' {
  switch (event.event) {
    case 'step':
    case 'message':
    case 'write':
      return 'debug';
    case 'refused':
      return 'warn';
    case 'certificates-renewed':
      return event.error === null ? 'info' : 'error';
    case 'handler-error':
    case 'worker-lost':
      return 'error';
    case 'disconnected':
      return event.error === null ? 'info' : 'warn';
    case 'census':
      return event.leaked === 0 ? 'info' : 'error';
    default:
      return 'info';
  }
}
