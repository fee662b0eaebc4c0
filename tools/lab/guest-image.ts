/**
 * What the machine boots: Debian's kernel with the modules that the lab needs, an initramfs around them, and a folder
 * with the guest's programs. All of it is kept in the cache and made once: a name holds a hash of what it was made
 * from, and a folder gets its name only when it is complete.
 */
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { run, runOrThrow } from './commands.js';
import { cacheFolder, guestSources } from './folders.js';
import { apt, CannotRun } from './prerequisites.js';

export interface GuestImage {
  readonly kernel: string;
  readonly initramfs: string;
  readonly kernelVersion: string;
  /** Seen as /run/lab in the guest. */
  readonly labFolder: string;
}

const KERNEL_PACKAGE = 'linux-image-amd64';
const BUSYBOX_PACKAGE = 'busybox-static';

/** rdma_rxe asks for crc32 by name when it starts, so modprobe does not know that it depends on it. */
const MODULES = [
  ...['virtio_pci', 'virtio_net', '9p', '9pnet_virtio', 'crc32_generic', 'crc32-pclmul'],
  ...['rdma_rxe', 'ib_uverbs', 'rdma_ucm'],
  ...['nf_tables', 'nft_numgen'],
  ...['nvme_rdma', 'nvmet_rdma', 'crc32c_generic', 'ext4'],
  ...['sch_netem', 'sch_ingress', 'sch_prio', 'cls_u32', 'act_mirred', 'ifb'],
];

type Say = (text: string) => void;

/** @throws CannotRun when the kernel cannot be had. */
export async function prepareImage(say: Say): Promise<GuestImage> {
  const kernelFolder = await build(`kernel-${hashOf(MODULES.join(' '))}`, (folder) =>
    unpackKernel(folder, say),
  );
  const busyboxFolder = await build('busybox', (folder) => fetchBusybox(folder, say));
  const busybox = join(busyboxFolder, 'busybox');
  const init = readFileSync(join(guestSources(), 'init.sh'));
  const initramfsName = `initramfs-${hashOf(basename(kernelFolder), init, readFileSync(busybox))}`;
  const initramfsFolder = await build(initramfsName, (folder) =>
    packInitramfs(folder, kernelFolder, busybox),
  );
  const sources = readdirSync(guestSources()).sort();
  const sourcesHash = hashOf(...sources.map((name) => readFileSync(join(guestSources(), name))));
  const labFolder = await build(`guest-${sourcesHash}`, (folder) => buildPrograms(folder, say));
  return {
    kernel: join(kernelFolder, 'vmlinuz'),
    initramfs: join(initramfsFolder, 'initramfs.gz'),
    kernelVersion: readFileSync(join(kernelFolder, 'version'), 'utf8'),
    labFolder,
  };
}

function hashOf(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex').slice(0, 12);
}

async function build(name: string, make: (folder: string) => Promise<void>): Promise<string> {
  const wanted = join(cacheFolder(), name);
  if (existsSync(wanted)) return wanted;
  mkdirSync(cacheFolder(), { recursive: true });
  const folder = mkdtempSync(`${wanted}.`);
  try {
    await make(folder);
    // Another lab may have been faster: its folder is as good.
    if (!existsSync(wanted)) renameSync(folder, wanted);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return wanted;
}

async function unpackKernel(folder: string, say: Say): Promise<void> {
  let packageName = await findKernelPackage();
  if (packageName === undefined) {
    await apt(['update']);
    packageName = await findKernelPackage();
  }
  if (packageName === undefined) {
    throw new CannotRun(`apt knows no ${KERNEL_PACKAGE}: the lab takes its kernel from Debian`);
  }
  const tree = await unpack(packageName, folder, say);
  const version = packageName.replace('linux-image-', '');
  await runOrThrow('depmod', ['-b', tree, version]);
  mkdirSync(join(folder, 'modules'));
  const order = await modulePaths(tree, version);
  for (const path of order) copyFileSync(path, join(folder, 'modules', basename(path)));
  writeFileSync(join(folder, 'modules', 'order'), `${order.map((path) => basename(path)).join('\n')}\n`);
  copyFileSync(join(tree, 'boot', `vmlinuz-${version}`), join(folder, 'vmlinuz'));
  writeFileSync(join(folder, 'version'), version);
  rmSync(tree, { recursive: true });
}

/** The static one, which runs without libraries. This machine may have the other, and there is room for one of them only. */
async function fetchBusybox(folder: string, say: Say): Promise<void> {
  const tree = await unpack(BUSYBOX_PACKAGE, folder, say);
  const found = ['bin/busybox', 'usr/bin/busybox']
    .map((path) => join(tree, path))
    .find((path) => existsSync(path));
  if (found === undefined) throw new CannotRun(`there is no busybox in ${BUSYBOX_PACKAGE}`);
  copyFileSync(found, join(folder, 'busybox'));
  rmSync(tree, { recursive: true });
}

/** Returns the folder into which it was unpacked; the package itself does not stay. Nothing is installed. */
async function unpack(packageName: string, folder: string, say: Say): Promise<string> {
  say(`downloading ${packageName}…`);
  await apt(['download', packageName], folder);
  const archive = readdirSync(folder).find((name) => name.endsWith('.deb'));
  if (archive === undefined) throw new CannotRun(`apt downloaded no package for ${packageName}`);
  const tree = join(folder, 'tree');
  await runOrThrow('dpkg', ['-x', join(folder, archive), tree]);
  rmSync(join(folder, archive));
  return tree;
}

async function findKernelPackage(): Promise<string | undefined> {
  const { output } = await run('apt-cache', ['depends', '--important', KERNEL_PACKAGE]);
  return /Depends: (linux-image-\d\S+-amd64)$/m.exec(output)?.[1];
}

/** Every module's file once, after those that it depends on. */
async function modulePaths(tree: string, version: string): Promise<string[]> {
  const paths = new Set<string>();
  for (const module of MODULES) {
    const lines = await runOrThrow('modprobe', ['-d', tree, '-S', version, '--show-depends', module]);
    for (const [, path] of lines.matchAll(/^insmod (\S+)/gm)) if (path !== undefined) paths.add(path);
  }
  return [...paths];
}

async function packInitramfs(folder: string, kernelFolder: string, busybox: string): Promise<void> {
  const root = join(folder, 'root');
  for (const name of ['bin', 'proc', 'sys', 'dev', 'newroot', 'modules']) {
    mkdirSync(join(root, name), { recursive: true });
  }
  const modules = join(kernelFolder, 'modules');
  for (const name of readdirSync(modules)) copyFileSync(join(modules, name), join(root, 'modules', name));
  copyFileSync(busybox, join(root, 'bin', 'busybox'));
  copyFileSync(join(guestSources(), 'init.sh'), join(root, 'init'));
  const pack = 'chmod +x init && find . | cpio -o -H newc --quiet | gzip -1 > ../initramfs.gz';
  await runOrThrow('sh', ['-c', pack], { cwd: root });
  rmSync(root, { recursive: true });
}

async function buildPrograms(folder: string, say: Say): Promise<void> {
  say('compiling the programs of the guest…');
  const sources = guestSources();
  copyFileSync(join(sources, 'start.sh'), join(folder, 'start.sh'));
  for (const [program, libraries] of [
    ['agent', []],
    ['rxe-peer', ['-libverbs']],
  ] as const) {
    const flags = ['-O2', '-Wall', '-Wextra', '-o', join(folder, program)];
    await runOrThrow('cc', [...flags, join(sources, `${program}.c`), ...libraries]);
  }
}
