/**
 * The journal beside a partial file: of which version of the source its bytes are, what hash they have up to here and there, which file
 * it is about, and who writes that.
 *
 * Invariants: there is at most one for a file, and one process alone gets it (`takeJournal` takes it away at once); a new one takes its
 * place at once and whole.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { uniqueName } from './copy-path.js';
import type { CopyEntry } from './copy-wire.js';
import type { PartOwner } from './part-owner.js';
import { openOrdinary } from './place.js';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_APPEND, O_WRONLY } = constants;
const OWNER_ONLY = 0o600;
const MAX_JOURNAL_BYTES = 1024 * 1024;
const VERSION = 2;

export interface Checkpoint {
  /** So many bytes, from the first one on, have this hash. */
  readonly at: number;
  readonly sha256: string;
}

/** What is the same as long as a journal is of use. */
export interface Source extends Pick<CopyEntry, 'size' | 'mtimeMillis'> {
  readonly name: string;
}

export interface Journal {
  readonly source: Source;
  /** Number of the file that it is about. */
  readonly inode: number;
  readonly owner: PartOwner;
  readonly checkpoints: readonly Checkpoint[];
}

/** Takes the journal away and reads it; `undefined` when there is none that can be used. */
export async function takeJournal(path: string): Promise<Journal | undefined> {
  const own = uniqueName(path);
  try {
    await rename(path, own);
  } catch {
    return undefined;
  }
  const text = await readText(own);
  await rm(own, { force: true }).catch(() => {});
  const [head = '', ...lines] = text.split('\n');
  const fields = readHead(head);
  return fields === undefined ? undefined : { ...fields, checkpoints: lines.flatMap(readCheckpoint) };
}

/** Puts a journal in place, and leaves it open for more checkpoints. */
export async function putJournal(path: string, journal: Journal): Promise<FileHandle> {
  const { checkpoints, source, inode, owner } = journal;
  const own = uniqueName(path);
  const file = await open(own, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_APPEND, OWNER_ONLY);
  try {
    const head = `${JSON.stringify({ v: VERSION, ...source, inode, ...owner })}\n`;
    await file.appendFile(head + checkpoints.map(checkpointLine).join(''));
    await rename(own, path);
    return file;
  } catch (error) {
    await file.close();
    await rm(own, { force: true });
    throw error;
  }
}

export const checkpointLine = ({ at, sha256 }: Checkpoint): string => `${at} ${sha256}\n`;

function readCheckpoint(line: string): Checkpoint[] {
  const [, at, sha256] = /^(\d{1,16}) ([0-9a-f]{64})$/.exec(line) ?? [];
  return at === undefined || sha256 === undefined ? [] : [{ at: Number(at), sha256 }];
}

function readHead(line: string): Omit<Journal, 'checkpoints'> | undefined {
  let fields: Readonly<Record<string, unknown>>;
  try {
    fields = { ...JSON.parse(line) };
  } catch {
    return undefined;
  }
  const { v, name, size, mtimeMillis, inode, machine, pid, startedAt } = fields;
  const isRight =
    v === VERSION &&
    typeof name === 'string' &&
    typeof machine === 'string' &&
    typeof startedAt === 'string' &&
    isInteger(size) &&
    isInteger(mtimeMillis) &&
    isInteger(inode) &&
    isInteger(pid) &&
    pid > 0;
  if (!isRight) return undefined;
  return { source: { name, size, mtimeMillis }, inode, owner: { machine, pid, startedAt } };
}

const isInteger = (value: unknown): value is number => Number.isInteger(value);

async function readText(path: string): Promise<string> {
  const file = await openOrdinary(path).catch(() => undefined);
  if (file === undefined) return '';
  try {
    return (await file.stat()).size > MAX_JOURNAL_BYTES ? '' : await file.readFile('utf8');
  } catch {
    return '';
  } finally {
    await file.close();
  }
}
