/** What connections are made of, for the simulation that looks into them. Programs have no way to it. */
import { DataPath } from '../data-path/data-path.js';
import { Lifeline } from '../lifeline/lifeline.js';
import type { Connection } from './connection.js';
import { partsOf } from './look-into.js';

export interface Insides {
  readonly lifeline: Lifeline;
  readonly dataPath: DataPath;
}

/** @throws Error for what has other parts, as a connection whose data path is in another thread. */
export function insidesOf(connection: Connection): Insides {
  const { lifeline, dataPath } = partsOf(connection) ?? {};
  if (!(lifeline instanceof Lifeline) || !(dataPath instanceof DataPath))
    throw new Error('only connect and listen make connections');
  return { lifeline, dataPath };
}
