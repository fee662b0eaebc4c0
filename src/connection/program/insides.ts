/** What connections are made of, for the simulation that looks into them. Programs have no way to it. */
import { DataPath } from '../data-path/data-path.js';
import { Lifeline } from '../lifeline/lifeline.js';
import type { Connection } from './connection.js';
import { partsOf } from './look-into.js';

export interface Insides {
  readonly lifeline: Lifeline;
  readonly dataPath: DataPath;
}

/** @throws Error for what is no connection, and for one whose data path is in another thread. */
export function insidesOf(connection: Connection): Insides {
  const { lifeline, dataPath } = partsOf(connection);
  if (!(lifeline instanceof Lifeline) || !(dataPath instanceof DataPath))
    throw new Error('the data path of this connection is elsewhere');
  return { lifeline, dataPath };
}
