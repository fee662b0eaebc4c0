/** What the processes of the demo tell each other, over the channel that Node.js gives to a child process. */

import type { StepName } from '../../connection/common/steps.js';
import type { CensusEvent, ErrorText, ServiceEvent } from '../service-events.js';
import type { StepDetails } from '../step-text.js';

export type ServerOrder =
  | {
      readonly order: 'serve';
      readonly certificateDir: string;
      readonly slots: number;
      readonly revealPsns: boolean;
      /** File for what the server's device sends and receives. */
      readonly capture: string | undefined;
    }
  | { readonly order: 'stop' };

export type ClientOrder =
  | {
      readonly order: 'connect';
      /** 1, 2, 3, … */
      readonly client: number;
      readonly host: string;
      readonly port: number;
      readonly certificateDir: string;
      readonly revealPsns: boolean;
    }
  | { readonly order: 'work'; readonly files: readonly DemoFile[]; readonly copyDir: string }
  | { readonly order: 'quit' };

export interface DemoFile {
  readonly name: string;
  readonly path: string;
}

export type ServerEvent = ServiceEvent | DeviceEvent | ServerFileEvent | CapturedEvent | FailedEvent;

/** The device that a process opened. */
export interface DeviceEvent {
  readonly event: 'device';
  /** Of the operating system's process. */
  readonly pid: number;
  readonly device: string;
  readonly udpPort: number;
  readonly pathMtu: number;
  /** Why it is not the one that was wanted. */
  readonly fallback?: string;
}

/** What the capture of the server's device holds. */
export interface CapturedEvent {
  readonly event: 'captured';
  readonly path: string;
  readonly packets: number;
  /** Packets that the disk could not take in time. */
  readonly leftOut: number;
}

/** What the server found when a file was complete. */
export interface ServerFileEvent {
  readonly event: 'file';
  readonly client: number;
  readonly name: string;
  readonly bytes: number;
  /** Of the file as it came in messages. */
  readonly sentSha256: string;
  /** Of the file as RDMA writes left it in the buffer, chunk after chunk. */
  readonly writtenSha256: string;
}

/** What a client knows of a file that went to the server and back. */
export interface ClientFileEvent {
  readonly event: 'file';
  readonly name: string;
  readonly bytes: number;
  /** Of the file on disk. */
  readonly sha256: string;
  /** Of what the server echoed. */
  readonly echoSha256: string;
  /** Of what was read back by RDMA. */
  readonly readSha256: string;
  readonly sendMillis: number;
  readonly writeMillis: number;
  readonly readMillis: number;
}

export interface ClientTotals {
  /** Messages in both directions. */
  readonly messages: number;
  /** Payload of messages in both directions, of writes and of reads. */
  readonly bytes: number;
  readonly writes: number;
  readonly reads: number;
}

export interface FailedEvent {
  readonly event: 'failed';
  readonly error: ErrorText;
}

export type ClientEvent =
  | DeviceEvent
  | ClientFileEvent
  | FailedEvent
  | CensusEvent
  | { readonly event: 'booted' }
  | {
      readonly event: 'step';
      readonly step: StepName;
      readonly atMillis: number;
      readonly details: StepDetails;
    }
  | { readonly event: 'welcome'; readonly text: string; readonly bufferBytes: number }
  | { readonly event: 'echo'; readonly text: string; readonly equal: boolean; readonly millis: number }
  | { readonly event: 'worked' }
  | ({ readonly event: 'totals' } & ClientTotals);

/** An event with the moment at which it happened, milliseconds since 1970. */
export interface Stamped<Event> {
  readonly event: Event;
  readonly epochMillis: number;
}
