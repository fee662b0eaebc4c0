/** Carries out the commands of `queuepair connect` on one connection, and tells what came of them. */
import { readFile, writeFile } from 'node:fs/promises';
import type { Connection } from '../../connection/program/connection.js';
import { cleanText } from '../../session/clean-text.js';
import { usageError } from '../../verbs/errors.js';
import { formatBytes, formatHex24, formatMillis, plural, shortHash } from '../format.js';
import { withFile } from '../local-file.js';
import type { Output } from '../output.js';
import { ProgressLine } from '../progress-line.js';
import { type ServiceClient, sha256 } from '../service/message-service.js';
import { rounded } from '../service.js';
import { autoRun } from './auto-run.js';
import { CLIENT_HELP, type ClientCommand } from './commands.js';

const MAX_SHOWN_CHARS = 2000;
const MAX_SHOWN_BYTES = 256;
/** With --json, what was read is in the event up to here; beyond it, name a file. */
const MAX_EVENT_BYTES = 64 * 1024;

export class ClientShell {
  readonly #client: ServiceClient;
  readonly #connection: Connection;
  readonly #output: Output;
  /** For `read` without a length. */
  #lastWrite: { readonly offset: number; readonly length: number } | undefined;

  constructor(client: ServiceClient, output: Output) {
    this.#client = client;
    this.#connection = client.connection;
    this.#output = output;
  }

  /**
   * Returns whether more commands may follow.
   *
   * @throws RdmaError why the command failed.
   */
  async run(command: ClientCommand): Promise<boolean> {
    switch (command.name) {
      case 'send':
        await this.#send(command.text);
        return true;
      case 'write':
        await this.#write(command);
        return true;
      case 'read':
        await this.#read(command);
        return true;
      case 'auto':
        await this.#auto(command.count);
        return true;
      case 'stats':
        this.#stats();
        return true;
      case 'help':
        this.#output.event({ event: 'help', text: CLIENT_HELP });
        this.#output.line(CLIENT_HELP);
        return true;
      case 'quit':
        return false;
    }
  }

  async #send(text: string): Promise<void> {
    const startedAt = performance.now();
    const echo = Buffer.from(await this.#client.echo(text));
    const millis = performance.now() - startedAt;
    const equal = echo.equals(Buffer.from(text));
    this.#output.event({
      event: 'echo',
      text: echo.toString(),
      bytes: echo.length,
      equal,
      millis: rounded(millis),
    });
    this.#output.line(
      `echo: ${cleanText(echo.toString(), MAX_SHOWN_CHARS)}  ${this.#aside(formatMillis(millis))}`,
    );
    if (!equal) throw usageError('the echo is not what was sent');
  }

  async #write({ source, offset }: Extract<ClientCommand, { name: 'write' }>): Promise<void> {
    const data = 'text' in source ? Buffer.from(source.text) : await readLocal(source.path);
    const startedAt = performance.now();
    const found = await this.#client.write(data, offset);
    const millis = performance.now() - startedAt;
    const equal = found.sha256 === sha256(data);
    this.#lastWrite = { offset, length: data.length };
    this.#output.event({
      event: 'write',
      offset,
      length: data.length,
      sha256: found.sha256,
      equal,
      millis: rounded(millis),
    });
    this.#output.line(
      `wrote ${formatBytes(data.length)} at ${offset}; the server found SHA-256 ${shortHash(found.sha256)}` +
        `${equal ? ', equal to ours' : ''}  ${this.#aside(formatMillis(millis))}`,
    );
    if (!equal) throw usageError('the server found something else in its buffer than what was written');
  }

  async #read({ offset, length, path }: Extract<ClientCommand, { name: 'read' }>): Promise<void> {
    const wanted = length ?? this.#defaultLength(offset);
    const startedAt = performance.now();
    const data = Buffer.from(await this.#client.read(offset, wanted));
    const millis = performance.now() - startedAt;
    if (path !== undefined) await writeLocal(path, data);
    const hash = sha256(data);
    this.#output.event({
      event: 'read',
      offset,
      length: data.length,
      sha256: hash,
      millis: rounded(millis),
      ...(path !== undefined
        ? { path }
        : data.length <= MAX_EVENT_BYTES
          ? { base64: data.toString('base64') }
          : {}),
    });
    const where = path === undefined ? '' : ` into ${path}`;
    this.#output.line(
      `read ${formatBytes(data.length)} at ${offset}${where}; SHA-256 ${shortHash(hash)}  ${this.#aside(formatMillis(millis))}`,
    );
    if (path === undefined && data.length > 0) this.#output.line(preview(data));
  }

  async #auto(count: number): Promise<void> {
    const progress = new ProgressLine('auto', count);
    const { millis, medianMillis, ...summary } = await autoRun(this.#client, count, (done) =>
      progress.update(done),
    ).finally(() => progress.end());
    const times = { millis: rounded(millis), medianMillis: rounded(medianMillis) };
    this.#output.event({ event: 'auto', ...summary, ...times, verified: true });
    const { sends, writes, reads, bytes } = summary;
    this.#output.line(
      `${plural(sends, 'send')}, ${plural(writes, 'write')}, ${plural(reads, 'read')}: all came back unchanged`,
    );
    this.#output.line(
      `${formatBytes(bytes)} in ${formatMillis(millis)}, ${formatMillis(medianMillis)} for one in the middle (median)`,
    );
  }

  #stats(): void {
    const { statistics, remoteBuffer, isEncrypted } = this.#connection;
    const about = this.#connection.describe();
    this.#output.event({ event: 'stats', ...about, encrypted: isEncrypted, ...statistics });
    const { messagesSent, messagesReceived, bytesSent, bytesReceived, writes, reads, recoveries } =
      statistics;
    this.#output.line(
      `queue pair   ${formatHex24(Number(about['qpn']))} in ${about['state']}, server ${about['remote']}`,
    );
    this.#output.line(`encrypted    ${isEncrypted ? 'yes, AES-256-GCM' : 'no'}`);
    this.#output.line(`sent         ${plural(messagesSent, 'message')}, ${formatBytes(bytesSent)}`);
    this.#output.line(`received     ${plural(messagesReceived, 'message')}, ${formatBytes(bytesReceived)}`);
    this.#output.line(
      `one-sided    ${plural(writes, 'write')}, ${plural(reads, 'read')}, in ${formatBytes(remoteBuffer?.length ?? 0)} of buffer at the server`,
    );
    if (recoveries > 0) this.#output.line(`recovered    ${plural(recoveries, 'time')}`);
  }

  #defaultLength(offset: number): number {
    if (this.#lastWrite?.offset === offset) return this.#lastWrite.length;
    const buffer = this.#connection.remoteBuffer?.length ?? 0;
    return Math.min(MAX_SHOWN_BYTES, Math.max(0, buffer - offset));
  }

  #aside(text: string): string {
    return this.#output.style.dim(`(${text})`);
  }
}

/** Text where it is text, else bytes in hex; never what could steer the terminal. */
function preview(data: Buffer): string {
  const head = data.subarray(0, MAX_SHOWN_BYTES);
  const more = data.length > head.length ? ` … ${data.length - head.length} bytes more` : '';
  const text = head.toString();
  const isText = !text.includes('\ufffd') && !/[^\P{Cc}\n\r\t]/u.test(text);
  if (isText) return `  ${JSON.stringify(text)}${more}`;
  const rows = head.toString('hex').match(/.{1,64}/g) ?? [];
  return `${rows.map((row) => `  ${row.replace(/..(?=.)/g, '$& ')}`).join('\n')}${more}`;
}

const readLocal = (path: string): Promise<Buffer> => withFile(path, () => readFile(path));

const writeLocal = (path: string, data: Uint8Array): Promise<void> =>
  withFile(path, () => writeFile(path, data));
