/**
 * docs/interop.md, in parts: each is written from the results of one whole run of a scenario, and the others stay as they
 * are.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PATH_MTUS } from '../../src/verbs/mtu.js';
import { projectFolder } from './folders.js';
import { DIRECTIONS } from './link.js';
import { IP_VERSIONS } from './network.js';
import { OPERATIONS } from './operations.js';
import type { CaseResult, Outcome } from './results.js';
import type { Lab } from './scenario.js';

export const CELLS: Readonly<Record<Outcome, string>> = {
  passed: 'yes',
  failed: '**no**',
  skipped: 'not run',
};

export function renderInterop(results: readonly CaseResult[], kernelVersion: string): string {
  const failed = results.filter((result) => result.outcome === 'failed');
  return [
    `What the soft device (native port) did with rdma_rxe of Linux ${kernelVersion} in the last whole run. The arrow`,
    'points from the requester to the responder. A cell is one connection doing the operation with 0, 1, MTU − 1, MTU,',
    'MTU + 1 and 65,536 bytes (MTU 1024 and 4096: 1 MiB and 8 MiB as well; atomics: three pairs of operands each),',
    'with both ends’ completions and all bytes compared by SHA-256, 64 bytes behind the target included.',
    '',
    ...DIRECTIONS.flatMap((direction) => goodTable(results, direction)),
    '## Bad networks',
    '',
    'Path MTU 1024, the damage done by netem in both directions. 200 messages or additions are posted at once; each',
    'must arrive, or be executed, once and in order.',
    '',
    ...badTable(results),
    ...(failed.length === 0
      ? []
      : ['## What failed', '', ...failed.map(({ name, detail }) => `- ${name}: ${detail}`), '']),
    'To get it again: `npm run lab -- interop --write-docs`.',
  ].join('\n');
}

const HEAD = `# Interoperation with the kernel’s RDMA stack

<!-- Written by \`npm run lab -- interop --write-docs\`, \`npm run lab -- cm --write-docs\` and \`npm run lab -- rsocket --write-docs\`; do not edit. -->
`;

/** Puts a part in the place that it had, or at the end. */
export function withPart(document: string, name: string, text: string): string {
  const begin = `<!-- begin of ${name} -->`;
  const end = `<!-- end of ${name} -->`;
  const part = `${begin}\n\n${text}\n\n${end}`;
  const from = document.indexOf(begin);
  const to = document.indexOf(end);
  if (from < 0 || to < from) return `${document === '' ? HEAD : document}\n${part}\n`;
  return document.slice(0, from) + part + document.slice(to + end.length);
}

/** Writes a part of the document. */
export async function writePart({ machine, results, say }: Lab, name: string, render: Render): Promise<void> {
  const path = join(projectFolder(), 'docs', 'interop.md');
  const kernelVersion = (await machine.runOrThrow('uname -r')).trim();
  const document = existsSync(path) ? readFileSync(path, 'utf8') : '';
  writeFileSync(path, withPart(document, name, render(results.results, kernelVersion)));
  say(`wrote ${path}`);
}

type Render = (results: readonly CaseResult[], kernelVersion: string) => string;

function goodTable(results: readonly CaseResult[], direction: string): string[] {
  const columns = IP_VERSIONS.flatMap((ip) => PATH_MTUS.map((mtu) => ({ ip, mtu })));
  const rows = OPERATIONS.map((operation) => {
    const cells = columns.map(({ ip, mtu }) => cell(results, { operation, direction, ip, mtu }));
    return [operation, ...cells];
  });
  const head = ['operation', ...columns.map(({ ip, mtu }) => `IPv${ip} ${mtu}`)];
  return [`## ${direction}`, '', ...table(head, rows), ''];
}

function badTable(results: readonly CaseResult[]): string[] {
  const bad = results.filter(({ facts }) => facts['network'] !== undefined);
  const distinct = (fact: string): (string | number)[] => [
    ...new Set(bad.map(({ facts }) => facts[fact] ?? '')),
  ];
  const columns = DIRECTIONS.flatMap((direction) => IP_VERSIONS.map((ip) => ({ direction, ip })));
  const rows = distinct('network').flatMap((network) =>
    distinct('what').map((what) => [
      network,
      what,
      ...columns.map(({ direction, ip }) => cell(results, { network, what, direction, ip })),
    ]),
  );
  const head = ['network', 'work', ...columns.map(({ direction, ip }) => `${direction} IPv${ip}`)];
  return [...table(head, rows), ''];
}

export function cell(results: readonly CaseResult[], facts: CaseResult['facts']): string {
  const found = results.find((result) =>
    Object.entries(facts).every(([name, value]) => result.facts[name] === value),
  );
  return CELLS[found?.outcome ?? 'skipped'];
}

const row = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;

export const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] => [
  row(head),
  row(head.map(() => '---')),
  ...rows.map(row),
];
