/** Tells people what a server does, a line for each event. */
import { hostname } from 'node:os';
import { cleanText } from '../session/clean-text.js';
import { hostPort } from '../verbs/host-port.js';
import type { CopyReport } from './copy/share.js';
import { formatBytes, formatMillis, plural, shortHash } from './format.js';
import type { Output } from './output.js';
import type { ServiceEvent } from './service-events.js';
import { describeStep, STEP_TITLE_CHARS, STEP_TITLES } from './step-text.js';

const MAX_REASON_CHARS = 400;
/** `client 10`. */
const WHO_CHARS = 9;

type Listening = Extract<ServiceEvent, { event: 'listening' }>;

export class ServeNarrator {
  readonly #output: Output;

  constructor(output: Output) {
    this.#output = output;
  }

  tell(event: ServiceEvent): void {
    const { style } = this.#output;
    switch (event.event) {
      case 'certificates':
        this.#output.line(
          `certificates  ${event.created ? 'made in' : 'those in'} ${event.dir} (for development; --cert and --key name your own)`,
        );
        break;
      case 'listening':
        this.#listening(event);
        break;
      case 'sharing':
        this.#output.line(
          `share         ${event.directory}, to read${event.isWritable ? ' and to change' : ' only'}, by queuepair cp`,
        );
        break;
      case 'observing':
        this.#output.line(`dashboard     ${event.url}/ for people, ${event.url}/metrics for Prometheus`);
        if (event.token !== undefined)
          this.#output.line(`              ${event.url}/#token=${event.token} can also drain and disconnect`);
        break;
      case 'step': {
        const after = style.dim(`+${formatMillis(event.atMillis)}`.padStart(9));
        const title = STEP_TITLES[event.step].padEnd(STEP_TITLE_CHARS);
        this.#client(event.client, `${after}  ${title}  ${describeStep(event.step, event.details)}`);
        break;
      }
      case 'connected':
        this.#client(
          event.client,
          style.green(`connected: ${event.peer ?? `${event.address}, without a certificate`}`),
        );
        break;
      case 'message':
        this.#client(event.client, `${event.type} message of ${formatBytes(event.bytes)}`);
        break;
      case 'write':
        this.#client(
          event.client,
          `RDMA write found in the buffer: ${formatBytes(event.length)} at ${event.offset}, SHA-256 ${shortHash(event.sha256)}`,
        );
        break;
      case 'disconnected':
        this.#disconnected(event);
        break;
      case 'refused':
        this.#line(
          'refused',
          style.yellow(
            `${hostPort(event.address, event.port)}: ${cleanText(event.reason, MAX_REASON_CHARS)}`,
          ),
        );
        break;
      case 'copy':
        this.#client(event.client, copyText(event));
        break;
      case 'handler-error':
        this.#line('error', style.red(cleanText(event.message, MAX_REASON_CHARS)));
        break;
      case 'worker-lost':
        this.#line('error', style.red(cleanText(event.message, MAX_REASON_CHARS)));
        break;
      case 'certificates-renewed':
        this.#output.line(
          event.error === null
            ? 'certificates read again, for clients that connect from now on'
            : `certificates not renewed, the old ones stay: ${event.error}`,
        );
        break;
      case 'closing':
        this.#output.line(`\n${event.signal}: closing; a second one ends at once`);
        break;
      case 'census':
        this.#census(event);
        break;
    }
  }

  #listening(event: Listening): void {
    const { line, style } = this.#output;
    const { device, udpPort, pathMtu, workers = [] } = event;
    if (workers.length === 0)
      line(`device        ${device}, UDP port ${udpPort}, path MTU ${pathMtu}; shared by all clients`);
    else {
      const ports = workers.map((worker) => worker.udpPort).join(', ');
      line(`devices       ${device}, path MTU ${pathMtu}; one for each worker, with the UDP ports ${ports}`);
    }
    const asked = event.mutualTls
      ? 'clients must show a certificate'
      : style.yellow('any client may connect (--client-ca FILE asks for certificates)');
    line(
      `listening     ${style.bold(address(event))}, TLS 1.3, ${asked}; ${plural(event.slots, 'slot')}, ` +
        `${formatBytes(event.bufferBytes)} of buffer each`,
    );
    line(`              queuepair connect ${reachable(event)}   (Ctrl-C here stops the server)`);
  }

  #disconnected(event: Extract<ServiceEvent, { event: 'disconnected' }>): void {
    const { style } = this.#output;
    const { messagesReceived, bytesReceived, messagesSent } = event.statistics;
    const traffic = `${plural(messagesReceived, 'message')} in (${formatBytes(bytesReceived)}), ${messagesSent} out`;
    const cause =
      event.error === null
        ? 'disconnected in order'
        : style.yellow(`lost: ${cleanText(event.error.message, MAX_REASON_CHARS)}`);
    this.#client(event.client, `${cause}; ${traffic}`);
  }

  #census({ leaked, objects }: Extract<ServiceEvent, { event: 'census' }>): void {
    const { line, style } = this.#output;
    if (leaked === 0) {
      line(`closed        ${style.green('nothing left over')} (0 of: ${Object.keys(objects).join(', ')})`);
      return;
    }
    const list = Object.entries(objects).flatMap(([kind, count]) => (count > 0 ? [`${count} ${kind}`] : []));
    line(`closed        ${style.red(`LEFT OVER: ${list.join(', ')}`)}`);
  }

  #client(number: number, text: string): void {
    this.#line(this.#output.style.client(number, `client ${number}`.padEnd(WHO_CHARS)), text);
  }

  #line(who: string, text: string): void {
    const { line, style } = this.#output;
    line(`${style.dim(new Date().toISOString().slice(11, 23))}  ${who.padEnd(WHO_CHARS)}  ${text}`);
  }
}

function copyText({ want, path, files, bytes, failed, skipped, refused }: CopyReport): string {
  const what = `${want} ${cleanText(path === '' ? '.' : path, MAX_REASON_CHARS)}`;
  if (refused !== null) return `${what}: refused: ${cleanText(refused, MAX_REASON_CHARS)}`;
  const rest = failed + skipped === 0 ? '' : `; ${failed} failed, ${skipped} left out`;
  return `${what}: ${plural(files, 'file')}, ${formatBytes(bytes)}${rest}`;
}

/** For clients: one cannot connect to "every address". */
const reachable = (event: Listening): string =>
  event.host === '0.0.0.0' || event.host === '::' ? `${hostname()}:${event.port}` : address(event);

const address = ({ host, port }: Listening): string => hostPort(host, port);
