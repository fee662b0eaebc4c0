/** What can be simulated, for the one tool that runs all of it. */

import { NVME_MARKS } from '../../testkit/nvme-host-life.js';
import { RSOCKET_MARKS } from '../../testkit/rsocket-life.js';
import { generateScenario as generateCm } from './cm/generate.js';
import { WANTED as CM_MARKS, SEEDS_FOR_MARKS as CM_SEEDS } from './cm/marks-wanted.js';
import { shrink as shrinkCm } from './cm/shrink.js';
import { generateScenario as generateConnections } from './connections/generate.js';
import {
  WANTED as CONNECTION_MARKS,
  SEEDS_FOR_MARKS as CONNECTION_SEEDS,
} from './connections/marks-wanted.js';
import { shrink as shrinkConnections } from './connections/shrink.js';
import { generateScenario } from './generate.js';
import { SEEDS_FOR_MARKS, WANTED } from './marks-wanted.js';
import { shrink as shrinkNvme } from './nvme/shrink.js';
import { shrink as shrinkRsocket } from './rsocket/shrink.js';
import { shrink } from './shrink.js';

export interface Mode {
  /** Runs seeds that it gets as messages. */
  readonly worker: URL;
  /** Selects the mode on the command line. */
  readonly flag: string;
  /** Marks that a long run must hit, and from how many seeds on a run is long. */
  readonly wanted: readonly string[];
  readonly seedsForMarks: number;
  /** Makes the scenario of a failing seed smaller. */
  shrink(seed: number, failure: string, budgetMillis: number): Promise<{ scenario: object; failure: string }>;
}

export const QUEUE_PAIRS: Mode = {
  worker: new URL('./worker.js', import.meta.url),
  flag: '',
  wanted: WANTED,
  seedsForMarks: SEEDS_FOR_MARKS,
  shrink: (seed, failure, budgetMillis) => shrink(generateScenario(seed), failure, budgetMillis),
};

export const CONNECTIONS: Mode = {
  worker: new URL('./connections/worker.js', import.meta.url),
  flag: '--connections ',
  wanted: CONNECTION_MARKS,
  seedsForMarks: CONNECTION_SEEDS,
  shrink: (seed, failure, budgetMillis) =>
    shrinkConnections(generateConnections(seed), failure, budgetMillis),
};

export const COMMUNICATION_MANAGERS: Mode = {
  worker: new URL('./cm/worker.js', import.meta.url),
  flag: '--cm ',
  wanted: CM_MARKS,
  seedsForMarks: CM_SEEDS,
  shrink: (seed, failure, budgetMillis) => shrinkCm(generateCm(seed), failure, budgetMillis),
};

export const RSOCKETS: Mode = {
  worker: new URL('./rsocket/worker.js', import.meta.url),
  flag: '--rsocket ',
  wanted: RSOCKET_MARKS,
  seedsForMarks: 500,
  shrink: shrinkRsocket,
};

export const NVME_HOSTS: Mode = {
  worker: new URL('./nvme/worker.js', import.meta.url),
  flag: '--nvme ',
  wanted: NVME_MARKS,
  seedsForMarks: 500,
  shrink: shrinkNvme,
};
