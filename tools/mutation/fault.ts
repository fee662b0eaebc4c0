/** A fault that is planted in the sources, by hand, to see whether the tests notice it. */

export const ROOMS = [
  'engine',
  'cm',
  'soft',
  'connection',
  'session',
  'sealing',
  'ibverbs',
  'net',
  'nvme',
] as const;
export type Room = (typeof ROOMS)[number];

/**
 * What should notice a fault:
 * - `test/FOLDER/NAME`: a test file, without its extension, or a folder of tests;
 * - `sim` or `sim:A..B`: seeds of the simulator of queue pairs; `connections` or `connections:A..B`: of connections;
 *   `cm` or `cm:A..B`: of communication managers;
 * - `fuzz:TARGET`: a target of the fuzzer, with its share of a run of 100,000.
 */
export type Judge = string;

export interface Fault {
  /** Short, in kebab-case, unique. */
  readonly id: string;
  readonly room: Room;
  /** What the code does wrong. */
  readonly wrong: string;
  /** Under src/, without extension; or a file of the addon, as `native/NAME.cc`. */
  readonly file: string;
  /** Text that stands exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  /** In the order in which they are asked; the first that objects ends it. */
  readonly judges: readonly Judge[];
  /** Why nobody can notice: the code does the same with it. Such a fault is not planted and does not count. */
  readonly equivalent?: string;
}
