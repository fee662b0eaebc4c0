/**
 * What goes over the lab's wire: tcpdump writes it down, and tshark says what is wrong with it.
 *
 * Payloads of SEND and of private data are no concern of this check, and tshark would guess at them: with all its guesses, 46
 * of 134 packets between two stock tools of perftest are "malformed RPCoRDMA". So each protocol that tshark guesses at is
 * switched off, after which it finds none there; headers, lengths, MADs and what the CM's messages hold it dissects as before.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runOrThrow, spawnBound } from './commands.js';
import { TAP } from './network.js';
import { ANSWER_FIELDS, type AnswersVerdict, findUnanswered } from './nvme-answers.js';

const ROCE_PORT = 4791;
/** What of the kernel's comes faster than tcpdump writes. */
const BUFFER_KIB = 65_536;
const TSHARK_TIMEOUT_MILLIS = 300_000;
const GUESSING_TABLES = ['infiniband.payload', 'infiniband.mad.cm.private'];

export interface CaptureVerdict {
  readonly packets: number;
  /** Of the connection manager. */
  readonly mads: number;
  /** Numbers of packets, and what tshark makes of them. */
  readonly malformed: readonly string[];
}

export class Capture {
  readonly #folder = mkdtempSync(join(tmpdir(), 'queuepair-lab-'));
  readonly #file = join(this.#folder, 'wire.pcap');
  readonly #tcpdump: ChildProcess;

  static async start(): Promise<Capture> {
    const capture = new Capture();
    // It says so once it captures.
    await once(capture.#tcpdump.stderr ?? capture.#tcpdump, 'data');
    return capture;
  }

  private constructor() {
    this.#tcpdump = spawnBound(
      'tcpdump',
      [
        ...['-i', TAP, '-w', this.#file, '-U', '-B', String(BUFFER_KIB), '-s', '0', '-Z', 'root'],
        ...['udp', 'port', String(ROCE_PORT)],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#tcpdump.stderr?.setEncoding('utf8');
  }

  /** Stops it; idempotent. Then the file is whole. */
  async #stop(): Promise<void> {
    if (this.#tcpdump.exitCode !== null || this.#tcpdump.signalCode !== null) return;
    let told = '';
    this.#tcpdump.stderr?.on('data', (text: string) => {
      told += text;
    });
    this.#tcpdump.kill('SIGINT');
    await once(this.#tcpdump, 'close');
    const [, dropped = '0'] = /(\d+) packets? dropped by kernel/.exec(told) ?? [];
    if (dropped !== '0') throw new Error(`tcpdump missed ${dropped} packets`);
  }

  /** `known`: protocols of payloads that tshark shall look at, because they are what it takes them for. */
  async judge(known: readonly string[] = []): Promise<CaptureVerdict> {
    await this.#stop();
    return judge(this.#file, known);
  }

  /** Which commands of NVMe got no response. */
  async judgeAnswers(): Promise<AnswersVerdict> {
    await this.#stop();
    const fields = ANSWER_FIELDS.flatMap((field) => ['-e', field]);
    const text = await runOrThrow(
      'tshark',
      ['-n', '-r', this.#file, '-T', 'fields', '-E', 'separator=;', ...fields],
      { timeoutMillis: TSHARK_TIMEOUT_MILLIS },
    );
    return findUnanswered(text);
  }

  /** Idempotent. */
  close(): void {
    this.#tcpdump.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** What tshark says of a file of packets. */
export async function judge(file: string, known: readonly string[] = []): Promise<CaptureVerdict> {
  const off = (await guessedProtocols()).filter((name) => !known.includes(name));
  const text = await runOrThrow(
    'tshark',
    [
      ...['-n', '-r', file, ...off.flatMap((name) => ['--disable-protocol', name])],
      ...['-T', 'fields', '-E', 'separator=;', '-e', 'frame.number', '-e', '_ws.malformed'],
      ...['-e', 'infiniband.bth.destqp', '-e', 'infiniband.mad.mgmtclass', '-e', '_ws.col.Info'],
    ],
    { timeoutMillis: TSHARK_TIMEOUT_MILLIS },
  );
  return parseVerdict(text);
}

const CM_CLASS = 0x07;
const MANAGEMENT_QPN = 1;

/**
 * Lines of number; malformed; queue pair; management class; summary. Others are what tshark says to people. A packet for QP 1
 * that is no MAD to tshark (of one that is cut it makes a payload) is malformed as well.
 */
export function parseVerdict(text: string): CaptureVerdict {
  const malformed: string[] = [];
  let packets = 0;
  let mads = 0;
  for (const line of text.split('\n')) {
    const [, number, isMalformed, qpn, managementClass, summary] = LINE.exec(line) ?? [];
    if (number === undefined) continue;
    packets++;
    if (managementClass !== '' && Number(managementClass) === CM_CLASS) mads++;
    const isLost = managementClass === '' && Number(qpn) === MANAGEMENT_QPN;
    if (isMalformed !== '' || isLost) malformed.push(`${number}: ${summary}`);
  }
  return { packets, mads, malformed };
}

const LINE = /^(\d+);([^;]*);([^;]*);([^;]*);(.*)$/;

async function guessedProtocols(): Promise<string[]> {
  const tables = await runOrThrow('tshark', ['-G', 'heuristic-decodes']);
  const rows = tables.split('\n').map((line) => line.split('\t'));
  const guessed = rows.filter(([table = '']) => GUESSING_TABLES.includes(table));
  return [...new Set(guessed.map(([, protocol = '']) => protocol))];
}
