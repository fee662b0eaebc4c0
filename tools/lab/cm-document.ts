/** The part of docs/interop.md that one whole run of the scenario cm writes. */
import { CELLS, cell, table } from './interop-document.js';
import type { CaseResult } from './results.js';

const DEVICES = ['soft', 'rxe'] as const;
const ROLES = ['client', 'server'] as const;

export function renderCm(results: readonly CaseResult[], kernelVersion: string): string {
  const failed = results.filter((result) => result.outcome === 'failed');
  const wire = results.find(({ facts }) => facts['what'] === 'wire');
  return [
    '## rdma_cm',
    '',
    `The stock programs of Debian in the machine (Linux ${kernelVersion}), each at the other end of ours, which runs on the soft`,
    'device outside of the machine or on rxe0 inside. rping and perftest: `queuepair rping` and `queuepair perftest -R`; for the',
    'others the lab plays the protocol with `queuepair/cm`.',
    '',
    ...programTable(results),
    '### Failures',
    '',
    'A cell is “yes” when both ends heard what rdma_cm says of it.',
    '',
    ...failureTable(results),
    '### Lost messages',
    '',
    'The first message of the kind is lost; the connection comes up and ends all the same. Ours on the soft device, the stock',
    'program is ucmatose (REJ: rping, SIDR: udaddy).',
    '',
    ...lossTable(results),
    `What was on the wire in that run: ${wire?.detail ?? CELLS.skipped}. Malformed according to tshark: ${malformed(wire)}.`,
    '',
    ...(failed.length === 0
      ? []
      : ['### What failed', '', ...failed.map(({ name, detail }) => `- ${name}: ${detail}`), '']),
    'To get it again: `npm run lab -- cm --write-docs`.',
  ].join('\n');
}

const malformed = (wire: CaseResult | undefined): string =>
  wire?.outcome === 'passed' ? 'none' : CELLS[wire?.outcome ?? 'skipped'];

function programTable(results: readonly CaseResult[]): string[] {
  const rows = new Map<string, CaseResult['facts']>();
  for (const { facts } of results) {
    const { program, ip } = facts;
    if (program !== undefined && ip !== undefined) rows.set(`${program}, IPv${ip}`, { program, ip });
  }
  const columns = DEVICES.flatMap((device) => ROLES.map((role) => ({ device, role })));
  const head = ['program', ...columns.map(({ device, role }) => `our ${role} on ${device}`)];
  return [
    ...table(
      head,
      [...rows].map(([name, facts]) => [
        name,
        ...columns.map((column) => cell(results, { ...facts, ...column })),
      ]),
    ),
    '',
  ];
}

function failureTable(results: readonly CaseResult[]): string[] {
  const failures = distinct(results, 'failure');
  const rows = failures.map((failure) => [
    failure,
    ...DEVICES.map((device) => {
      const isThere = results.some(({ facts }) => facts['failure'] === failure && facts['device'] === device);
      return isThere ? cell(results, { failure, device }) : '–';
    }),
  ]);
  return [...table(['what happens', ...DEVICES.map((device) => `ours on ${device}`)], rows), ''];
}

function lossTable(results: readonly CaseResult[]): string[] {
  const rows = distinct(results, 'lost').map((lost) => [
    lost,
    ...ROLES.map((role) => {
      const isThere = results.some(({ facts }) => facts['lost'] === lost && facts['role'] === role);
      return isThere ? cell(results, { lost, role }) : '–';
    }),
  ]);
  return [...table(['lost', ...ROLES.map((role) => `our ${role}`)], rows), ''];
}

const distinct = (results: readonly CaseResult[], fact: string): (string | number)[] => [
  ...new Set(results.flatMap(({ facts }) => facts[fact] ?? [])),
];
