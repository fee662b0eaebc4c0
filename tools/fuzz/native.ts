/**
 * `npm run fuzz:native`: clang's libFuzzer with the address and undefined-behaviour sanitizers on what the addon does
 * with untrusted numbers: native/fuzz/. Needs clang; without it, it says so and is done.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { recordedPackets } from './targets/wire/recorded-packets.js';

const NATIVE = fileURLToPath(new URL('../../../native/', import.meta.url));
const FLAGS = ['-std=c++17', '-g', '-O1', '-fsanitize=fuzzer,address,undefined', '-fno-sanitize-recover=all'];
const COMMON = [
  'crc32.cc',
  'crc32_folding.cc',
  'icrc.cc',
  'identification.cc',
  'ring.cc',
  'ring_hub.cc',
  'udp_socket.cc',
  'unix_message.cc',
];
const HARNESSES: Readonly<Record<string, readonly string[]>> = {
  // The system calls are the harness's.
  receive: ['fuzz/receive_fuzz.cc', 'receive_ring.cc', ...COMMON],
  ring: ['fuzz/ring_fuzz.cc', 'ring.cc'],
  send: ['fuzz/send_fuzz.cc', 'message_builder.cc', 'segment_route.cc', ...COMMON],
};
const USAGE = `usage: npm run fuzz:native -- [--seconds T] [--seed S] [--replay FILE --only NAME]
  --seconds T   for each of ${Object.keys(HARNESSES).join(', ')} (default 60)
  --only NAME   one of them
  --seed S      repeat a run (default: random, and printed)
  --replay FILE run one input of --only
`;

const say = (text: string): void => void process.stderr.write(text);

function run(command: string, args: readonly string[], cwd: string): boolean {
  return spawnSync(command, args, { cwd, stdio: ['ignore', 2, 2] }).status === 0;
}

function main(args: readonly string[]): number {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string', default: String(1 + Math.floor(performance.timeOrigin % 1e9)) },
      only: { type: 'string' },
      replay: { type: 'string' },
    },
  });
  const { seconds, seed, only, replay } = values;
  const names = Object.keys(HARNESSES).filter((name) => only === undefined || name === only);
  if (names.length === 0 || (replay !== undefined && only === undefined) || !(Number(seconds) > 0)) {
    say(USAGE);
    return 2;
  }
  if (process.platform !== 'linux' || spawnSync('clang++', ['--version']).status !== 0) {
    say('skipped: clang++ is not installed, or this is not Linux (Debian: apt install clang)\n');
    return 0;
  }
  const folder = join(process.cwd(), 'build', 'fuzz-native');
  let crashes = 0;
  for (const name of names) {
    const home = join(folder, name);
    const corpus = join(home, 'corpus');
    mkdirSync(corpus, { recursive: true });
    for (const [i, packet] of recordedPackets().entries()) writeFileSync(join(corpus, `packet-${i}`), packet);
    const program = join(home, name);
    if (!run('clang++', [...FLAGS, ...(HARNESSES[name] as string[]), '-o', program], NATIVE)) return 1;
    const limits = [
      `-max_total_time=${seconds}`,
      `-seed=${seed}`,
      '-max_len=2048',
      '-len_control=0',
      '-timeout=10',
    ];
    const options = replay === undefined ? [...limits, '-print_final_stats=1', corpus] : [replay];
    say(`${name}: seed ${seed}\n`);
    if (run(program, options, replay === undefined ? home : process.cwd())) continue;
    crashes++;
    say(`${name} crashed; replay: npm run fuzz:native -- --only ${name} --replay ${join(home, 'crash-…')}\n`);
  }
  say(`${names.join(' and ')}: ${crashes} crashes\n`);
  return crashes === 0 ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
