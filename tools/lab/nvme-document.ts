/** The part of docs/interop.md that one whole run of the scenario nvme writes. */
import { CELLS, table } from './interop-document.js';
import type { CaseResult } from './results.js';

export function renderNvme(results: readonly CaseResult[], kernelVersion: string): string {
  return [
    '## NVMe over Fabrics',
    '',
    `Linux ${kernelVersion} with nvme-cli and fio in an emulated machine, whose figures are no measure of speed. Where nothing else is said, our end`,
    'is on the soft device outside of it. What a capture of the wire tells comes from tshark.',
    '',
    ...table(
      ['case', 'works', ''],
      results.map(({ name, outcome, detail }) => [name, CELLS[outcome], detail.replaceAll('|', '/')]),
    ),
    '',
    'To get it again: `npm run lab -- nvme --write-docs`.',
  ].join('\n');
}
