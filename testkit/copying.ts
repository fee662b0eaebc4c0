/** Copies by `queuepair cp` as a program, and what they leave on the disk. */
import { createHash, randomBytes } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import {
  devCerts,
  type Ending,
  FREE_DEVICE,
  type RunningServer,
  runProgram,
  serve,
  stop,
  testDir,
} from './program.js';

const PIECE_BYTES = 16 * 1024 * 1024;

/** One of this test file, removed after it. */
export const newDir = (name: string): string => mkdtempSync(join(testDir(), `${name}-`));

export const cp = ({ port }: { readonly port: number }, ...args: string[]): Promise<Ending> =>
  runProgram(['cp', '--json', '--port', String(port), ...FREE_DEVICE, ...devCerts(), ...args]);

export const summary = ({ events }: Ending) => events.find(({ event }) => event === 'summary');

/** Path, kind, mode, time and hash of all that is below, in order. */
export function listing(root: string, below = ''): string[] {
  const names = readdirSync(join(root, below)).sort();
  return names.flatMap((name) => {
    const path = join(below, name);
    const stats = statSync(join(root, path));
    const about = `${path} ${(stats.mode & 0o777).toString(8)} ${Math.round(stats.mtimeMs)}`;
    if (stats.isDirectory()) return [`${about} directory`, ...listing(root, path)];
    return [`${about} ${stats.size} ${hashOf(join(root, path))}`];
  });
}

export function hashOf(path: string): string {
  const hash = createHash('sha256');
  const file = openSync(path, 'r');
  const piece = new Uint8Array(PIECE_BYTES);
  for (let bytes = readSync(file, piece); bytes > 0; bytes = readSync(file, piece))
    hash.update(piece.subarray(0, bytes));
  closeSync(file);
  return hash.digest('hex');
}

export function makeTree(root: string, bigBytes: number): void {
  mkdirSync(join(root, 'a', 'deep'), { recursive: true });
  mkdirSync(join(root, 'empty-directory'));
  for (let at = 0; at < bigBytes; at += PIECE_BYTES) {
    appendFileSync(join(root, 'a', 'big'), randomBytes(Math.min(PIECE_BYTES, bigBytes - at)));
  }
  writeFileSync(join(root, 'a', 'deep', 'ü 😀'), 'small');
  writeFileSync(join(root, 'empty'), '');
  for (let i = 0; i < 40; i++) writeFileSync(join(root, 'a', `many-${i}`), randomBytes(i * 100));
  chmodSync(join(root, 'a', 'big'), 0o640);
  utimesSync(join(root, 'a', 'big'), 1e9, 1e9 + 0.25);
  utimesSync(join(root, 'a', 'deep'), 1e9, 1.1e9);
}

/** A server that shares a directory of its own, for as long as `use` runs. */
export async function sharing<T>(
  flags: string[],
  use: (server: RunningServer, root: string) => Promise<T>,
): Promise<T> {
  const root = newDir('share');
  const server = await serve('--share', root, ...flags);
  const result = await use(server, root);
  await stop(server);
  return result;
}

/** Of files, whole and partial ones. */
export function bytesBelow(directory: string): number {
  if (!existsSync(directory)) return 0;
  let bytes = 0;
  for (const name of readdirSync(directory, { recursive: true }) as string[]) {
    const stats = statSync(join(directory, name), { throwIfNoEntry: false });
    if (stats?.isFile() === true) bytes += stats.size;
  }
  return bytes;
}
