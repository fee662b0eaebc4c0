/**
 * What connections are made of, for the simulation that looks into them. Connections say how to look, as a table of all of them would
 * be large. Programs have no way to it.
 */
import { DataPath } from '../data-path/data-path.js';
import { Lifeline } from '../lifeline/lifeline.js';
import type { Connection } from './connection.js';

export interface Insides {
  readonly lifeline: Lifeline;
  readonly dataPath: DataPath;
}

type Parts = { readonly lifeline: object; readonly dataPath: object };

let look: (connection: Connection) => Parts;

/** Called once, by connections. */
export function lookBy(how: (connection: Connection) => Parts): void {
  look = how;
}

/** @throws Error for what has other parts, as a connection whose data path is in another thread. */
export function insidesOf(connection: Connection): Insides {
  const { lifeline, dataPath } = look(connection);
  if (!(lifeline instanceof Lifeline) || !(dataPath instanceof DataPath))
    throw new Error('only connect and listen make connections');
  return { lifeline, dataPath };
}
