/**
 * One installation or build at a time: a lock file that its holder keeps fresh.
 *
 * The lock is a file made with O_EXCL. Its holder touches it every second; a lock that has not been touched for ten
 * seconds belongs to a process that died, and the next one takes it. Age rather than a process id decides, because
 * the other process may live in another container. Breaking a stale lock happens under a second O_EXCL file, and
 * looks again there: otherwise two processes that both saw the stale lock could each remove the other's new one.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const HEARTBEAT_MILLIS = 1_000;
const STALE_MILLIS = 10_000;
const POLL_MILLIS = 50;
const WAIT_LIMIT_MILLIS = 15 * 60_000;

/**
 * Calls `work` while holding the lock; waits for it first.
 * @template T
 * @param {string} path the lock file; its folder must exist
 * @param {() => void} onWait called once if another process holds the lock
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(path, onWait, work) {
  const token = randomUUID();
  await acquire(path, token, onWait);
  const heartbeat = setInterval(() => touch(path), HEARTBEAT_MILLIS);
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    release(path, token);
  }
}

async function acquire(path, token, onWait) {
  const deadline = Date.now() + WAIT_LIMIT_MILLIS;
  let announced = false;
  while (!create(path, token)) {
    if (isStale(path)) breakStale(path);
    if (Date.now() > deadline)
      throw new Error(`gave up waiting for another build; if none runs, delete ${path}`);
    if (!announced) onWait();
    announced = true;
    await delay(POLL_MILLIS);
  }
}

function create(path, content) {
  try {
    writeFileSync(path, content, { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function isStale(path) {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats !== undefined && Date.now() - stats.mtimeMs > STALE_MILLIS;
}

function breakStale(path) {
  const guard = `${path}.breaking`;
  if (!create(guard, '')) {
    // Its owner needs microseconds: an old one belongs to a process that died in them.
    if (isStale(guard)) rmSync(guard, { force: true });
    return;
  }
  if (isStale(path)) rmSync(path, { force: true });
  rmSync(guard, { force: true });
}

function touch(path) {
  const now = new Date();
  try {
    utimesSync(path, now, now);
  } catch {
    // The lock was taken from a process that slept too long; release() notices.
  }
}

function release(path, token) {
  try {
    if (readFileSync(path, 'utf8') === token) rmSync(path);
  } catch {
    // Gone already: nothing to release.
  }
}
