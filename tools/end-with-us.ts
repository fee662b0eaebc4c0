/**
 * What must not outlive this process: groups of child processes, temporary folders. It is ended with the process, which ends on
 * a signal, or when nobody reads its output any more.
 *
 * Invariant: nothing here waits, so that a second signal finds nothing half done.
 */
const SIGNAL_EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
const EXIT_NOT_READ = 1;

const endings = new Set<() => void>();
let isWatching = false;

/** Has `end` called when this process ends. Returns what takes that back. */
export function endWithUs(end: () => void): () => void {
  watch();
  endings.add(end);
  return () => endings.delete(end);
}

/** Ends the process group that `leader` leads, without asking. */
export function killGroup(leader: number | undefined): void {
  if (leader === undefined) return;
  try {
    process.kill(-leader, 'SIGKILL');
  } catch {
    // All of the group have ended.
  }
}

function watch(): void {
  if (isWatching) return;
  isWatching = true;
  process.on('exit', () => {
    for (const end of endings) end();
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => process.exit(SIGNAL_EXIT_CODES[signal]));
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', () => process.exit(EXIT_NOT_READ));
}
