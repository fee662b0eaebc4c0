/** The command line of `npm run lab`. */
import { parseArgs } from 'node:util';
import { integerOption, WrongUsage } from '../command-line.js';

export const SCENARIO_NAMES = [
  'boot',
  'conformance',
  'session',
  'doctor',
  'pingpong',
  'perftest',
  'overhead',
  'interop',
  'errors',
  'cm',
  'nvme',
  'rsocket',
] as const;
export type ScenarioName = (typeof SCENARIO_NAMES)[number];

export interface LabOptions {
  readonly scenario: ScenarioName;
  readonly json: boolean;
  /** Only cases whose name contains this. */
  readonly only: string;
  /** How often each case runs. */
  readonly repeat: number;
  readonly accelerator: 'tcg' | 'kvm';
  readonly timeoutSeconds: number;
  readonly verbose: boolean;
  /** Write the scenario's part of docs/interop.md if all of it ran. */
  readonly writeDocs: boolean;
}

export const USAGE = `usage: npm run lab -- SCENARIO [--only TEXT] [--repeat N] [--timeout SECONDS] [--kvm]
                          [--write-docs] [--verbose] [--json]

Boots a virtual machine with Debian's kernel and its RDMA stack, and runs a scenario against it:
  boot         the machine alone: rxe0 is there and ibv_rc_pingpong runs over it
  conformance  the device suite over rxe0 through libibverbs, in the machine
  session      queuepair serve and queuepair connect, one on rxe0 and one on soft, and both on rxe0
  doctor       queuepair doctor on rxe0 and on soft: nothing wrong, then four planted troubles
  pingpong     queuepair pingpong and the stock ibv_rc_pingpong, each as server and as client
  perftest     queuepair perftest and the stock tools of perftest, each as server and as client
  overhead     what JavaScript adds to a round trip: our ping-pong and send latency over rxe0 against the stock tools
  interop      every operation, MTU and size between the soft device and rxe0, both ways; then over a bad network
  errors       who sees which error, against the table of the verbs
  cm           the stock programs of rdma_cm, each as server and as client; failures, and the loss of each message
  nvme         Linux's NVMe host uses disks that queuepair serves on soft and rxe0, our host those of the kernel's target;
               file systems, fio, loss, targets that are killed and come again
  rsocket      stock programs of rsocket, and TCP programs under librspreload, each as server and as client; with loss

  --only TEXT         only cases whose name contains TEXT
  --repeat N          each case so often; for those that fail now and then
  --timeout SECONDS   end everything after this long; default 1800
  --kvm               use /dev/kvm; without it the machine is emulated in software
  --write-docs        write its part of docs/interop.md from this run (scenarios interop, cm, rsocket and nvme)
  --verbose           show the machine's console
  --json              one JSON object a line on standard output

Needs Linux on x64, root, and Debian's apt for what is missing; where it cannot run it says why and exits with 0.
`;

/** Each writes a part of docs/interop.md. */
const DOCUMENTED: readonly ScenarioName[] = ['interop', 'cm', 'rsocket', 'nvme'];
const MAX_SECONDS = 86_400;
const MAX_REPEAT = 10_000;

/** @throws WrongUsage. */
export function parseOptions(args: readonly string[]): LabOptions {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      only: { type: 'string', default: '' },
      repeat: { type: 'string', default: '1' },
      timeout: { type: 'string', default: '1800' },
      kvm: { type: 'boolean', default: false },
      'write-docs': { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const [name, ...more] = positionals;
  const scenario = SCENARIO_NAMES.find((known) => known === name);
  if (scenario === undefined || more.length > 0) {
    throw new WrongUsage(`name one scenario: ${SCENARIO_NAMES.join(', ')}`);
  }
  const repeat = integerOption('repeat', values.repeat, 1, MAX_REPEAT);
  const timeoutSeconds = integerOption('timeout', values.timeout, 1, MAX_SECONDS);
  if (values['write-docs'] && (!DOCUMENTED.includes(scenario) || values.only !== '' || repeat > 1)) {
    throw new WrongUsage(`--write-docs needs the whole scenario ${DOCUMENTED.join(' or ')}, once`);
  }
  return {
    scenario,
    json: values.json,
    only: values.only,
    repeat,
    accelerator: values.kvm ? 'kvm' : 'tcg',
    timeoutSeconds,
    verbose: values.verbose,
    writeDocs: values['write-docs'],
  };
}
