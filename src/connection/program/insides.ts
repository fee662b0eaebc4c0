/**
 * What connections are made of, for the simulation that looks into them: who builds a connection notes it here. Programs
 * have no way to it.
 */

import type { DataPath } from '../data-path/data-path.js';
import type { Lifeline } from '../lifeline/lifeline.js';
import type { Connection } from './connection.js';

export interface Insides {
  readonly lifeline: Lifeline;
  readonly dataPath: DataPath;
}

const insides = new WeakMap<Connection, Insides>();

/** A connection of these parts. */
export function withInsides(connection: Connection, parts: Insides): Connection {
  insides.set(connection, parts);
  return connection;
}

/** @throws Error for what is no connection. */
export function insidesOf(connection: Connection): Insides {
  const parts = insides.get(connection);
  if (parts === undefined) throw new Error('only connect and listen make connections');
  return parts;
}
