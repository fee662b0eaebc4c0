/** What a running server tells, in the form that `serve --json` prints. */

import type { StepName } from '../connection/common/steps.js';
import type { ConnectionStatistics } from '../connection/program/connection.js';
import type { ServerCensus } from '../connection/server/server.js';
import type { RefusalKind } from '../verbs/refusal-kind.js';
import type { CopyReport } from './copy/share.js';
import type { StepDetails } from './step-text.js';

export interface ErrorText {
  readonly code: string;
  readonly message: string;
}

export type ServiceEvent =
  | { readonly event: 'certificates'; readonly dir: string; readonly created: boolean }
  /** After SIGHUP; with `error` the old ones stay in use. */
  | { readonly event: 'certificates-renewed'; readonly error: string | null }
  | {
      readonly event: 'listening';
      readonly host: string;
      readonly port: number;
      /** With workers, of the first. */
      readonly device: string;
      readonly udpPort: number;
      readonly pathMtu: number;
      readonly exactIcrc: boolean;
      readonly slots: number;
      readonly bufferBytes: number;
      /** With workers, the devices of all. */
      readonly workers?: readonly { readonly device: string; readonly udpPort: number }[];
      /** Whether clients must show a certificate. */
      readonly mutualTls: boolean;
    }
  /** Clients may copy files from `directory`, and into it when it `isWritable`. */
  | { readonly event: 'sharing'; readonly directory: string; readonly isWritable: boolean }
  /** Metrics are at `url` + `/metrics`. `token`: for `url` + `/control`, when it was made here. */
  | { readonly event: 'observing'; readonly url: string; readonly token?: string }
  | {
      readonly event: 'step';
      readonly client: number;
      readonly step: StepName;
      readonly atMillis: number;
      readonly details: StepDetails;
    }
  | {
      readonly event: 'connected';
      readonly client: number;
      readonly address: string;
      /** Subject of the client's certificate. */
      readonly peer: string | null;
    }
  | {
      readonly event: 'message';
      readonly client: number;
      readonly type: string;
      readonly bytes: number;
    }
  | {
      readonly event: 'write';
      readonly client: number;
      readonly offset: number;
      readonly length: number;
      readonly sha256: string;
    }
  | {
      readonly event: 'disconnected';
      readonly client: number;
      /** `null` after an orderly end. */
      readonly error: ErrorText | null;
      readonly statistics: ConnectionStatistics;
    }
  | {
      readonly event: 'refused';
      readonly address: string;
      readonly port: number;
      readonly kind: RefusalKind;
      readonly reason: string;
    }
  | ({ readonly event: 'copy' } & CopyReport)
  | { readonly event: 'handler-error'; readonly client: number; readonly message: string }
  /** A worker has died, and its connections have ended; another begins after `restartMillis`, unless the server closes. */
  | {
      readonly event: 'worker-lost';
      readonly worker: number;
      readonly connections: number;
      readonly restartMillis: number | null;
      readonly message: string;
    }
  | { readonly event: 'closing'; readonly signal: string }
  | CensusEvent;

export interface CensusEvent {
  readonly event: 'census';
  /** Objects left over. 0 when all is well. */
  readonly leaked: number;
  readonly objects: Readonly<Record<string, number>>;
}

export function censusEvent(objects: Partial<ServerCensus> & { readonly sockets: number }): CensusEvent {
  const leaked = Object.values(objects).reduce((sum, count) => sum + count, 0);
  return { event: 'census', leaked, objects: { ...objects } };
}
