/** Finds out whether the lab can run on this machine, and installs the Debian packages that it needs. */
import { existsSync } from 'node:fs';
import { hasCommand, lastLines, run } from './commands.js';

/** The lab cannot run here; the message is a reason that a person understands. */
export class CannotRun extends Error {}

const APT_TIMEOUT_MILLIS = 600_000;

/** What shows that a package is there: a command in the path, or a file. */
const NEEDS: readonly (readonly [packageName: string, proof: string])[] = [
  ['qemu-system-x86', 'qemu-system-x86_64'],
  ['rdma-core', '/etc/rdma/modules/rdma.conf'],
  ['ibverbs-providers', '/etc/libibverbs.d/rxe.driver'],
  ['ibverbs-utils', 'ibv_rc_pingpong'],
  ['perftest', 'ib_send_lat'],
  ['rdmacm-utils', 'rping'],
  ['qperf', 'qperf'],
  ['librdmacm1', '/usr/lib/x86_64-linux-gnu/rsocket/librspreload.so'],
  ['curl', 'curl'],
  ['wget', 'wget'],
  ['iperf3', 'iperf3'],
  ['netcat-traditional', 'nc.traditional'],
  ['libfabric-bin', 'fi_pingpong'],
  ['nvme-cli', 'nvme'],
  ['fio', 'fio'],
  ['e2fsprogs', 'mkfs.ext4'],
  ['nftables', 'nft'],
  ['tcpdump', 'tcpdump'],
  ['tshark', 'tshark'],
  ['libibverbs-dev', '/usr/include/infiniband/verbs.h'],
  ['librdmacm-dev', '/usr/include/rdma/rdma_cma.h'],
  ['gcc', 'cc'],
  ['libc6-dev', '/usr/include/stdio.h'],
  ['cpio', 'cpio'],
  ['kmod', 'depmod'],
  ['iproute2', 'tc'],
];

/** @throws CannotRun with the reason. */
export async function prepareMachine(say: (text: string) => void): Promise<void> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new CannotRun(`needs Linux on x64, this is ${process.platform} on ${process.arch}`);
  }
  if (process.getuid?.() !== 0) throw new CannotRun('needs root, for a network namespace and a tap device');
  if (!existsSync('/dev/net/tun')) throw new CannotRun('needs /dev/net/tun, which is not there');
  for (const command of ['setpriv', 'unshare', 'mount']) {
    if (!hasCommand(command)) throw new CannotRun(`needs the program ${command} (util-linux)`);
  }
  const isolated = await run('unshare', ['--net', '--mount', 'true']);
  if (isolated.code !== 0) {
    throw new CannotRun(`cannot make a network namespace: ${lastLines(isolated.output, 1)}`);
  }
  const missing = missingPackages();
  if (missing.length > 0) await install(missing, say);
}

const missingPackages = (): string[] =>
  NEEDS.filter(([, proof]) => !(proof.startsWith('/') ? existsSync(proof) : hasCommand(proof))).map(
    ([name]) => name,
  );

async function install(packages: readonly string[], say: (text: string) => void): Promise<void> {
  const list = packages.join(', ');
  if (!hasCommand('apt-get')) throw new CannotRun(`needs ${list}, and there is no apt to install them with`);
  say(`installing ${list}…`);
  await apt(['update']);
  await apt(['install', '-y', '--no-install-recommends', ...packages]);
  const still = missingPackages();
  if (still.length > 0)
    throw new CannotRun(`apt installed ${still.join(', ')}, but their files are not there`);
}

/** @throws CannotRun when apt fails: without its packages there is nothing to run. */
export async function apt(args: readonly string[], cwd?: string): Promise<string> {
  const options = cwd === undefined ? {} : { cwd };
  const { code, output } = await run(
    'env',
    ['DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q', '-o', 'APT::Sandbox::User=root', ...args],
    { ...options, timeoutMillis: APT_TIMEOUT_MILLIS },
  ).catch((error: Error) => ({ code: 1, output: error.message }));
  if (code === 0) return output;
  throw new CannotRun(`apt-get ${args.join(' ')} failed: ${lastLines(output, 2)}`);
}
