/** Writes docs/interop.md from the results of one whole run of the scenario interop. */
import { PATH_MTUS } from '../../src/verbs/mtu.js';
import { DIRECTIONS } from './link.js';
import { IP_VERSIONS } from './network.js';
import { OPERATIONS } from './operations.js';
import type { CaseResult, Outcome } from './results.js';

const CELLS: Readonly<Record<Outcome, string>> = { passed: 'yes', failed: '**no**', skipped: 'not run' };

export function renderInterop(results: readonly CaseResult[], kernelVersion: string): string {
  const failed = results.filter((result) => result.outcome === 'failed');
  return `${[
    '# Interoperation with the kernel’s RDMA stack',
    '',
    '<!-- Written by `npm run lab -- interop --write-docs`; do not edit. -->',
    '',
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
  ].join('\n')}\n`;
}

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

function cell(results: readonly CaseResult[], facts: CaseResult['facts']): string {
  const found = results.find((result) =>
    Object.entries(facts).every(([name, value]) => result.facts[name] === value),
  );
  return CELLS[found?.outcome ?? 'skipped'];
}

const row = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;

const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] => [
  row(head),
  row(head.map(() => '---')),
  ...rows.map(row),
];
