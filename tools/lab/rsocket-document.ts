/** The part of docs/interop.md that one whole run of the scenario rsocket writes. */
import { CELLS, cell, table } from './interop-document.js';
import type { CaseResult } from './results.js';

const COLUMNS = [
  { head: 'our client on soft', facts: { device: 'soft', role: 'client', network: 'good' } },
  { head: 'our server on soft', facts: { device: 'soft', role: 'server', network: 'good' } },
  { head: 'our client on rxe', facts: { device: 'rxe', role: 'client', network: 'good' } },
  { head: 'our server on rxe', facts: { device: 'rxe', role: 'server', network: 'good' } },
  { head: 'our client on soft, 1 % loss', facts: { device: 'soft', role: 'client', network: 'lossy' } },
  { head: 'our server on soft, 1 % loss', facts: { device: 'soft', role: 'server', network: 'lossy' } },
];

export function renderRsocket(results: readonly CaseResult[], kernelVersion: string): string {
  const failed = results.filter(({ outcome }) => outcome === 'failed');
  const wire = results.find(({ facts }) => facts['what'] === 'wire');
  const lastWord = results.find(({ facts }) => facts['what'] === 'last word');
  const loss = results.find(({ facts }) => facts['what'] === 'loss');
  return [
    '## rsocket',
    '',
    `Stock programs of Debian in the machine (Linux ${kernelVersion}), each at the other end of ours. rstream, riostream and rcopy speak`,
    'rsocket by themselves, the others under librspreload. curl and wget fetch 64 MiB from `node:http`; `node:http` fetches as',
    'much from nc; rcopy copies a file of 64 MiB; nc sends 64 MiB and gets 16; iperf3 sends 16 MiB to iperf3 over TCP through `queuepair proxy`,',
    'and the other way round to one with `RDMAV_FORK_SAFE=1`; there what the client counts and the server is compared.',
    'On rxe ours sends 8 MiB, over the network with loss 4. Hashes of both ends are compared.',
    '',
    ...programTable(results),
    '',
    `The network with loss: ${loss?.detail ?? CELLS.skipped}. On the wire: ${wire?.detail ?? CELLS.skipped}. Malformed according to tshark:`,
    `${wire?.outcome === 'passed' ? 'none' : CELLS[wire?.outcome ?? 'skipped']}.`,
    '',
    `A stock rstream whose last word is lost ([rsocket.md](rsocket.md#the-end)): ${lastWord?.detail ?? CELLS.skipped}.`,
    '',
    ...(failed.length === 0
      ? []
      : ['### What failed', '', ...failed.map(({ name, detail }) => `- ${name}: ${detail}`), '']),
    'To get it again: `npm run lab -- rsocket --write-docs`.',
  ].join('\n');
}

function programTable(results: readonly CaseResult[]): string[] {
  const rows = new Map<string, CaseResult['facts']>();
  for (const { facts } of results) {
    const { program, ip } = facts;
    if (program !== undefined && ip !== undefined) rows.set(`${program}, IPv${ip}`, { program, ip });
  }
  const head = ['program', ...COLUMNS.map((column) => column.head)];
  return table(
    head,
    [...rows].map(([name, facts]) => [
      name,
      ...COLUMNS.map((column) => {
        const wanted = { ...facts, ...column.facts };
        const isThere = results.some((result) =>
          Object.entries(wanted).every(([key, value]) => result.facts[key] === value),
        );
        return isThere ? cell(results, wanted) : '–';
      }),
    ]),
  );
}
