/**
 * Tells people what happens in the demo. Connecting and quitting are told when they are over, in the order in which
 * things happened: processes report on their own, and what they report may overtake each other. Client 1 is told step
 * by step, the others in a line each.
 */
import { StepName } from '../../connection/common/steps.js';
import { hostPort } from '../../verbs/host-port.js';
import { formatBytes, formatMillis, plural, shortHash } from '../format.js';
import type { Output } from '../output.js';
import { describeStep, STEP_TITLE_CHARS, STEP_TITLES } from '../step-text.js';
import { EXPLANATIONS } from './explanations.js';
import { clientOf, type Moment } from './moment.js';
import type { ClientEvent, DeviceEvent, ServerEvent } from './protocol.js';
import type { ComparedFile, Summary } from './verdict.js';

/** `client 10`. */
const WHO_CHARS = 9;
const TIME_CHARS = 9;
const PHASE_CHARS = 14;
const INDENT = ' '.repeat(TIME_CHARS + 2 + WHO_CHARS + 2 + STEP_TITLE_CHARS + 2);

/** Phases of the cold path, each by the step that ends it. */
const COLD_PATH = [
  ['TLS', StepName.TLS],
  ['PSN exchange', StepName.PSN_EXCHANGED],
  ['objects', StepName.OBJECTS_CREATED],
  ['parameters', StepName.PARAMETERS_EXCHANGED],
  ['INIT→RTR→RTS', StepName.RTS],
  ['ready', StepName.READY],
] as const;

type Spoken = readonly [title: string, text: string] | undefined;

export class DemoNarrator {
  readonly #output: Output;
  readonly #explained = new Set<StepName>();
  /** Milliseconds since it began to connect, by client and step, as the client saw it. */
  readonly #steps = new Map<number, Map<StepName, number>>();
  readonly #hello = new Map<number, number>();
  #gathered: Moment[] = [];
  #acts = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  begin(clients: number): void {
    const { line, style } = this.#output;
    line(style.bold(`queuepair demo: a server and ${plural(clients, 'client')}, each a process of its own`));
    line('They talk RoCEv2 in real UDP packets on loopback: no RDMA hardware, no kernel module, no root.');
    line(style.dim('Times in the first column are milliseconds since the demo began.'));
  }

  act(title: string, explanation = ''): void {
    const { line, style } = this.#output;
    this.endAct();
    line();
    line(style.bold(`${++this.#acts}. ${title}`));
    if (explanation !== '') line(style.dim(explanation.replace(/^/gm, '   ')));
  }

  tell(moment: Moment): void {
    this.#gathered.push(moment);
  }

  /** Tells what has been gathered. */
  endAct(): void {
    const moments = this.#gathered.sort((a, b) => a.atMillis - b.atMillis);
    this.#gathered = [];
    for (const moment of moments) this.#tellNow(moment);
  }

  /** Something failed: what was gathered may show why. */
  interrupted(): void {
    this.endAct();
  }

  compared(file: ComparedFile): void {
    const { style } = this.#output;
    const { client, name, bytes, sha256, equal, sendMillis, writeMillis, readMillis } = file;
    const times =
      `sent and echoed ${formatMillis(sendMillis)}, RDMA write ${formatMillis(writeMillis)}, ` +
      `RDMA read ${formatMillis(readMillis)}`;
    const verdict = equal
      ? style.green(`SHA-256 ${shortHash(sha256)} equal in all 5 places`)
      : style.red('SHA-256 DIFFERS');
    this.#output.line(
      `${' '.repeat(TIME_CHARS + 2)}${this.#who(client)}  ${name.padEnd(18)} ${formatBytes(bytes).padStart(8)}  ${times}  ${verdict}`,
    );
  }

  /** What connecting costs, phase by phase. */
  coldPath(): void {
    const { line, style } = this.#output;
    line();
    line('   What a connection costs before its first message, in milliseconds:');
    line(
      style.dim(
        `   ${' '.repeat(WHO_CHARS)}  ${COLD_PATH.map(([title]) => title.padStart(PHASE_CHARS)).join('')}`,
      ),
    );
    for (const [client, steps] of this.#steps) {
      let before = 0;
      const cells = COLD_PATH.map(([, step]) => {
        const at = steps.get(step) ?? before;
        const cell = (at - before).toFixed(1).padStart(PHASE_CHARS);
        before = at;
        return cell;
      });
      const echo = this.#hello.get(client);
      const hello = echo === undefined ? '' : `   then a message and its echo: ${formatMillis(echo)}`;
      line(`   ${this.#who(client)}  ${cells.join('')}${hello}`);
    }
  }

  end(summary: Summary): void {
    const { line, style } = this.#output;
    const { clients, messages, writes, reads, bytes, files, hashesCompared, hashesEqual, leaked, millis } =
      summary;
    line();
    line(
      `${plural(clients, 'client')}, ${plural(messages, 'message')}, ${plural(writes, 'RDMA write')}, ` +
        `${plural(reads, 'RDMA read')}: ${formatBytes(bytes)} in ${formatMillis(millis)}, starting processes included.`,
    );
    line(
      hashesEqual
        ? style.green(
            `${plural(files, 'file')}, ${hashesCompared} copies: every SHA-256 equal to that of the file on disk.`,
          )
        : style.red(
            `${plural(files, 'file')}, ${hashesCompared} copies: NOT ALL ARE EQUAL to the file on disk.`,
          ),
    );
    line(
      leaked === 0
        ? style.green('Left over: nothing.')
        : style.red(`LEFT OVER: ${plural(leaked, 'object')}.`),
    );
  }

  #tellNow(moment: Moment): void {
    if (moment.actor === 'client') this.#keepTimes(moment.client, moment.event);
    const spoken = moment.actor === 'server' ? serverText(moment.event) : clientText(moment.event);
    if (spoken === undefined) return;
    const client = clientOf(moment);
    const { event } = moment;
    if (client > 1 && !isMilestone(moment)) return;
    const { line, style } = this.#output;
    const [title, text] = spoken;
    const at = style.dim(moment.atMillis.toFixed(1).padStart(TIME_CHARS));
    const who = this.#who(moment.actor === 'server' ? 0 : moment.client);
    const about =
      moment.actor === 'server' && client > 1 ? `${style.client(client, `client ${client}`)}: ` : '';
    line(`${at}  ${who}  ${title.padEnd(STEP_TITLE_CHARS)}  ${about}${text}`);
    if (event.event === 'step') this.#explain(event.step);
  }

  #explain(step: StepName): void {
    const text = EXPLANATIONS[step];
    if (text === undefined || this.#explained.has(step)) return;
    this.#explained.add(step);
    for (const row of text.split('\n')) this.#output.line(INDENT + this.#output.style.dim(row));
  }

  #keepTimes(client: number, event: ClientEvent): void {
    if (event.event === 'echo') this.#hello.set(client, event.millis);
    if (event.event !== 'step') return;
    const steps = this.#steps.get(client) ?? new Map<StepName, number>();
    this.#steps.set(client, steps.set(event.step, event.atMillis));
  }

  #who(client: number): string {
    const { style } = this.#output;
    if (client === 0) return style.bold('server'.padEnd(WHO_CHARS));
    return style.client(client, `client ${client}`.padEnd(WHO_CHARS));
  }
}

const SERVER_MILESTONES: readonly StepName[] = [StepName.TLS, StepName.SLOT_FREED];
const CLIENT_MILESTONES: readonly StepName[] = [StepName.READY];
const TROUBLE: readonly StepName[] = [StepName.RECOVERING, StepName.RECOVERED];

/** What is told of the clients after the first: that they come, are ready and go, and what goes wrong. */
function isMilestone({ actor, event }: Moment): boolean {
  if (event.event === 'step') {
    const told = actor === 'server' ? SERVER_MILESTONES : CLIENT_MILESTONES;
    return told.includes(event.step) || TROUBLE.includes(event.step);
  }
  if (event.event === 'census') return event.leaked > 0;
  return event.event === 'totals' || event.event === 'disconnected' || event.event === 'handler-error';
}

function serverText(event: ServerEvent): Spoken {
  switch (event.event) {
    case 'certificates':
      return [
        'certificates',
        'made for this demo: an authority, and what it signed for the server and the clients',
      ];
    case 'device':
      return ['device', `${deviceText(event)}; once, shared by all clients`];
    case 'listening':
      return [
        'listening',
        `${hostPort(event.host, event.port)}, TLS 1.3 only, clients must show a certificate, ${plural(event.slots, 'slot')}`,
      ];
    case 'step':
      return [STEP_TITLES[event.step], describeStep(event.step, event.details)];
    case 'connected':
      return ['welcome', `sends its welcome to ${event.peer ?? event.address}`];
    case 'disconnected':
      return event.error === null ? undefined : ['lost', event.error.message];
    case 'refused':
      return ['refused', `${hostPort(event.address, event.port)}: ${event.reason}`];
    case 'handler-error':
      return ['error', event.message];
    case 'census':
      return ['census', censusText(event)];
    case 'captured':
      return [
        'capture',
        `${plural(event.packets, 'packet')} in ${event.path}` +
          `${event.leftOut > 0 ? `, ${event.leftOut} left out` : ''}; open it in Wireshark`,
      ];
    default:
      return undefined;
  }
}

function clientText(event: ClientEvent): Spoken {
  switch (event.event) {
    case 'device':
      return ['device', deviceText(event)];
    case 'step':
      return [STEP_TITLES[event.step], describeStep(event.step, event.details)];
    case 'welcome':
      return [
        'welcome',
        `"${event.text}" has arrived; ${formatBytes(event.bufferBytes)} of the server's memory may be written and read`,
      ];
    case 'echo':
      return [
        'echo',
        `"${event.text}" went there and ${event.equal ? 'came back' : 'CAME BACK CHANGED'} in ${formatMillis(event.millis)}`,
      ];
    case 'totals':
      return [
        'quits',
        `after ${plural(event.messages, 'message')}, ${plural(event.writes, 'RDMA write')}, ` +
          `${plural(event.reads, 'RDMA read')}: ${formatBytes(event.bytes)}`,
      ];
    case 'census':
      return ['census', censusText(event)];
    default:
      return undefined;
  }
}

const deviceText = ({ pid, device, udpPort, pathMtu, fallback }: DeviceEvent): string =>
  `process ${pid} opens ${device}, UDP port ${udpPort}, path MTU ${pathMtu}` +
  (fallback === undefined ? '' : ` (${fallback})`);

const KINDS: Readonly<Record<string, string>> = {
  pds: 'PDs',
  mrs: 'MRs',
  mws: 'MWs',
  cqs: 'CQs',
  qps: 'QPs',
  srqs: 'SRQs',
  ahs: 'AHs',
  cmIds: 'CM IDs',
  controlChannels: 'TLS sessions',
};

function censusText({
  leaked,
  objects,
}: {
  leaked: number;
  objects: Readonly<Record<string, number>>;
}): string {
  const names = Object.entries(objects).map(([kind, count]) => `${count} ${KINDS[kind] ?? kind}`);
  return leaked === 0 ? `nothing left over: ${names.join(', ')}` : `LEFT OVER: ${names.join(', ')}`;
}
