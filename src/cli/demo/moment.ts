/** Something that happened in the demo: who told it, and when. */
import type { ClientEvent, ServerEvent } from './protocol.js';

export type Moment =
  /** Milliseconds since the demo began, by the clock of the process that told it. */
  | { readonly atMillis: number; readonly actor: 'server'; readonly event: ServerEvent }
  | {
      readonly atMillis: number;
      readonly actor: 'client';
      readonly client: number;
      readonly event: ClientEvent;
    };

/** The client whom a moment is about; 0 = the server alone. */
export function clientOf(moment: Moment): number {
  if (moment.actor === 'client') return moment.client;
  return 'client' in moment.event ? moment.event.client : 0;
}
