/** `queuepair cp`: copies files and trees to and from `queuepair serve --share`. */
import type { Command } from 'commander';
import { connect } from '../connection/client/client.js';
import { DEFAULT_PORT } from '../connection/terms/options.js';
import { cleanText } from '../session/clean-text.js';
import type { RdmaError } from '../verbs/errors.js';
import { millisOrNeverArgument, portArgument } from './arguments.js';
import { withCertificateAdvice } from './certificate-advice.js';
import { clientCertificates } from './certificates.js';
import { type ConnectionFlags, connectionOptionsOf, withConnectionFlags } from './connection-flags.js';
import { CopyClient, type CopyListener } from './copy/copy-client.js';
import { COPY_BUFFER_BYTES } from './copy/copy-link.js';
import { type CopyPlan, planOf } from './copy/copy-plan.js';
import { ExitCode, failureLine } from './failure.js';
import { formatBytes, formatMillis, plural } from './format.js';
import { createOutput, type Output } from './output.js';
import { ProgramCommand } from './program-command.js';
import { ProgressLine } from './progress-line.js';
import { ServiceClient } from './service/message-service.js';
import { rounded } from './service.js';
import { firstSignal, untilSignal } from './shutdown.js';
import { WrongArguments } from './wrong-arguments.js';

const MAX_PATH_CHARS = 400;
const PROGRESS_MILLIS = 1000;
const DEFAULT_RETRY_MILLIS = 60_000;

const EXAMPLES = `
PATH is inside of the directory that the server shares; write ./4500:x for one that begins with a number and a colon.
A copy becomes what the last PATH names; it goes into a directory when PATH ends with / or is none, when there are several
sources, or when the source is a file and PATH a directory. So a copy that is repeated goes to the same place. What a copy
that was cut off has left is checked and used by the next one. Each file takes its place when it is whole and its SHA-256 is
right. Symbolic links are left out.

Examples:
  $ queuepair serve --share /srv/data --share-writable          the other end
  $ queuepair cp model.bin checkpoints 192.0.2.7:               into the shared directory
  $ queuepair cp 192.0.2.7:checkpoints/last.pt .                and back
  $ queuepair cp 192.0.2.7:4500:last.pt .                       from the server at another port
  $ queuepair cp '[2001:db8::7]:4500:' mirror                   all of it`;

interface CopyFlags extends ConnectionFlags {
  readonly port?: number;
  readonly retry: number;
  readonly json?: boolean;
}

export function cpCommand(): Command {
  const command = new ProgramCommand('cp')
    .description('copy files and trees to and from a server with --share')
    .argument('<paths...>', 'FILE… HOST:PATH, or HOST:PATH… DIR; HOST:PORT:PATH for another port')
    .option('--port <number>', `TCP port of the server (default: ${DEFAULT_PORT})`, portArgument);
  return withConnectionFlags(command, 'what travels')
    .option(
      '--retry <ms>',
      'how long new connections are tried after one was lost; 0 = not at all',
      millisOrNeverArgument,
      DEFAULT_RETRY_MILLIS,
    )
    .option('--json', 'one JSON object a line on standard output')
    .addHelpText('after', EXAMPLES)
    .action(async (paths: string[], flags: CopyFlags) => {
      const plan = planOf(paths);
      if (plan.port !== undefined && flags.port !== undefined && plan.port !== flags.port)
        throw new WrongArguments(`--port ${flags.port} and port ${plan.port} of the path are two ports`);
      process.exitCode = await copy(plan, flags, createOutput(flags.json === true));
    });
}

async function copy(plan: CopyPlan, flags: CopyFlags, output: Output): Promise<number> {
  const signalled = firstSignal();
  const story = new CopyStory(output);
  const done = await untilSignal(signalled, async (signal) => {
    const client = new CopyClient({
      connect: () => open(plan, flags, signal),
      listener: story,
      retryMillis: flags.retry,
      signal,
    });
    signal.addEventListener('abort', () => client.abort());
    try {
      for (const source of plan.sources) {
        if (plan.isUpload) await client.put(source, plan.target, plan.intoDirectory);
        else await client.get(source, plan.target, plan.intoDirectory);
        story.nextSource();
      }
    } finally {
      story.pause();
      await client.close();
    }
    return story;
  });
  if (typeof done === 'number') return done;
  return story.end();
}

async function open({ host, port }: CopyPlan, flags: CopyFlags, signal: AbortSignal) {
  const { devDir, ...certificates } = await clientCertificates(flags);
  const connection = await withCertificateAdvice(devDir, () =>
    connect({
      host,
      port: port ?? flags.port ?? DEFAULT_PORT,
      ...certificates,
      ...connectionOptionsOf(flags),
      bufferBytes: COPY_BUFFER_BYTES,
      signal,
    }),
  );
  await new ServiceClient(connection).welcome();
  return connection;
}

/** Tells people and programs how a copy goes. */
class CopyStory implements CopyListener {
  readonly #output: Output;
  readonly #beganAt = performance.now();
  readonly #progress = new ProgressLine('copied', 0, { isBytes: true });
  readonly #skipped = new Set<string>();
  #files = 0;
  #storedBytes = 0;
  #movedBytes = 0;
  readonly #failed = new Set<string>();
  #retries = 0;
  /** Of the source under way. */
  #doneBytes = 0;
  #totalBytes = 0;
  #shownAt = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  onTotal(_files: number, bytes: number): void {
    this.#totalBytes = bytes;
    this.#progress.total = bytes;
  }

  onBytes(bytes: number, isNew: boolean): void {
    this.#doneBytes += bytes;
    if (isNew) this.#movedBytes += bytes;
    this.#progress.update(this.#doneBytes);
    const now = performance.now();
    if (now - this.#shownAt < PROGRESS_MILLIS) return;
    this.#shownAt = now;
    this.#output.event({ event: 'progress', bytes: this.#doneBytes, totalBytes: this.#totalBytes });
  }

  onStored(path: string, bytes: number): void {
    this.#files++;
    this.#storedBytes += bytes;
    // Over another connection.
    this.#failed.delete(path);
    this.#output.event({ event: 'stored', path, bytes });
  }

  onFailed(path: string, reason: string): void {
    if (this.#failed.has(path)) return;
    this.#failed.add(path);
    this.#output.event({ event: 'failed', path, reason });
    this.#warn(`${shown(path)} ${cleanText(reason, MAX_PATH_CHARS)}`);
  }

  onSkipped(path: string, reason: string): void {
    if (this.#skipped.has(path)) return;
    this.#skipped.add(path);
    this.#output.event({ event: 'skipped', path, reason });
    this.#warn(`left out: ${shown(path)} ${cleanText(reason, MAX_PATH_CHARS)}`);
  }

  onRetry(error: RdmaError, waitMillis: number): void {
    this.#retries++;
    this.#output.event({ event: 'reconnecting', code: error.code, message: error.message, waitMillis });
    this.#warn(`${failureLine(error)}; connecting again`);
  }

  onAgain(): void {
    this.#doneBytes = 0;
  }

  nextSource(): void {
    this.#doneBytes = 0;
  }

  /** Takes the bar away. */
  pause(): void {
    this.#progress.end();
  }

  end(): number {
    const millis = performance.now() - this.#beganAt;
    const [files, bytes, movedBytes] = [this.#files, this.#storedBytes, this.#movedBytes];
    const [failed, skipped, retries] = [this.#failed.size, this.#skipped.size, this.#retries];
    this.#output.event({
      event: 'summary',
      files,
      bytes,
      movedBytes,
      failed,
      skipped,
      retries,
      millis: rounded(millis),
    });
    const rate = formatBytes(Math.round((movedBytes / Math.max(1, millis)) * 1000));
    const rest = failed + skipped === 0 ? '' : `; ${failed} failed, ${skipped} left out`;
    this.#output.line(
      `${plural(files, 'file')}, ${formatBytes(bytes)} in ${formatMillis(millis)}, ${formatBytes(movedBytes)} moved (${rate}/s)${rest}`,
    );
    return failed + skipped === 0 ? ExitCode.OK : ExitCode.FAILED;
  }

  #warn(text: string): void {
    this.#progress.end();
    process.stderr.write(`queuepair: ${text}\n`);
  }
}

const shown = (path: string): string => (path === '' ? 'it' : cleanText(path, MAX_PATH_CHARS));
