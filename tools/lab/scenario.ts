/** What a scenario gets and what it is. */

import type { Machine } from './machine.js';
import type { LabOptions } from './options.js';
import type { ResultCollector } from './results.js';

export interface Lab {
  readonly machine: Machine;
  readonly results: ResultCollector;
  readonly options: LabOptions;
  /** Progress, for people. */
  say(text: string): void;
}

export type Scenario = (lab: Lab) => Promise<void>;
