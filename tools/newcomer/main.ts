/**
 * `npm run newcomer`: the first ten minutes of somebody who has just heard of the package, in an empty folder, from the packed tarball, as a
 * user without rights and without a compiler: on Node.js 20 to 26 and Bun, and what Node.js 18 and Deno say. Step 1 installs, step 2 runs
 * README's program, every entry by `import` and `require`, every example, the demo and a bundle, step 3 checks types. Exits with 1 when
 * anything failed.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { packageRoot } from '../../src/cli/package-root.js';
import { runTool } from '../command-line.js';
import {
  asTypeScript,
  entriesOf,
  exampleNames,
  examplePackages,
  firstProgram,
  imports,
  NATIVE,
  requires,
} from './programs.js';
import { installRuntime, type Runtime, SUPPORTED, UNSUPPORTED } from './runtimes.js';
import { systemProgramsOf } from './system-programs.js';
import { type Outcome, type Place, runAsUser, userId } from './user.js';

const USAGE = `usage: npm run newcomer -- [--json] [--addons KINDS] [--only RUNTIME]

--addons KINDS   of npm run package (default: linux-ARCH-glibc)
--only RUNTIME   node 22, for example
`;

const STEPS = 3;
const root = packageRoot();

interface Run {
  readonly step: number;
  readonly runtime: string;
  readonly what: string;
}

class Report {
  runs = 0;
  failed = 0;
  readonly #json: boolean;

  constructor(json: boolean) {
    this.#json = json;
  }

  /** Counts it, and says why where it failed. */
  tell(run: Run, problem: string | undefined, millis: number): void {
    this.runs += 1;
    if (problem !== undefined) this.failed += 1;
    const line = this.#json
      ? JSON.stringify({ ...run, ok: problem === undefined, millis: Math.round(millis), problem })
      : `${problem === undefined ? 'ok    ' : 'FAILED'} ${run.runtime.padEnd(8)} ${run.what} ${problem ?? ''}`;
    process.stdout.write(`${line}\n`);
  }

  async measure(run: Run, work: () => Promise<string | undefined>): Promise<void> {
    const start = performance.now();
    const problem = await work().catch((error: unknown) => String(error));
    this.tell(run, problem, performance.now() - start);
  }
}

async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      json: { type: 'boolean' },
      addons: { type: 'string' },
      only: { type: 'string' },
    },
  });
  const folder = mkdtempSync(join(tmpdir(), 'queuepair-newcomer-'));
  chmodSync(folder, 0o755);
  try {
    const report = new Report(values.json ?? false);
    const tarball = pack(folder, values.addons ?? `linux-${process.arch}-glibc`);
    const isWanted = ({ name }: { readonly name: string }): boolean => (values.only ?? name) === name;
    for (const source of SUPPORTED.filter(isWanted)) {
      const runtime = installRuntime(source, join(folder, 'runtimes'));
      await tryRuntime(runtime, newPlace(folder, runtime), tarball, report);
    }
    for (const source of UNSUPPORTED.filter(isWanted)) {
      const runtime = installRuntime(source, join(folder, 'runtimes'));
      await hearRefusal(runtime, folder, report);
    }
    const { runs, failed } = report;
    process.stdout.write(`${JSON.stringify({ runs, failed, steps: STEPS })}\n`);
    return failed === 0 ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function pack(folder: string, addons: string): string {
  const args = [join(root, 'scripts', 'package.mjs'), '--addons', addons, '--folder', folder];
  const { status, stdout } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new Error('the package was not made, see above');
  return stdout.trim();
}

/** An empty folder, and a PATH with the runtime, a shell and nothing else. */
function newPlace(folder: string, runtime: Runtime): Place {
  const own = join(folder, `app-${runtime.name.replace(' ', '-')}`);
  const [path, home, cache] = [join(own, 'bin'), join(own, 'home'), join(folder, 'cache')];
  for (const made of [own, path, home, cache]) {
    mkdirSync(made, { recursive: true });
    chownSync(made, userId, userId);
  }
  symlinkSync(runtime.program, join(path, runtime.kind));
  symlinkSync('/bin/sh', join(path, 'sh'));
  writeFileSync(join(own, 'package.json'), '{ "private": true }\n');
  chownSync(join(own, 'package.json'), userId, userId);
  return { folder: own, path, home, cache };
}

const problemOf = ({ code, stdout, stderr }: Outcome): string | undefined =>
  code === 0 && stdout.trim() !== ''
    ? undefined
    : `exit code ${code}: ${(stderr.trim() || stdout.trim()).slice(-600)}`;

function npmCli(): string {
  const { stdout } = spawnSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' });
  return realpathSync(stdout.trim());
}

const installer = (runtime: Runtime, what: readonly string[]): string[] =>
  runtime.kind === 'bun'
    ? [runtime.program, 'add', ...what]
    : [runtime.program, npmCli(), 'install', '--no-audit', '--no-fund', '--prefer-offline', ...what];

async function tryRuntime(runtime: Runtime, place: Place, tarball: string, report: Report): Promise<void> {
  const run = (step: number, what: string): Run => ({ step, runtime: runtime.name, what });
  const start = async (file: string, ...args: string[]): Promise<Outcome> =>
    await runAsUser([runtime.program, file, ...args], place);
  const write = (name: string, text: string): string => {
    writeFileSync(join(place.folder, name), text);
    return name;
  };
  await report.measure(run(1, 'install'), async () =>
    problemOf(await runAsUser(installer(runtime, [tarball]), place)),
  );
  const home = join(place.folder, 'node_modules', 'queuepair');
  if (!existsSync(home)) return;
  await report.measure(run(1, 'nothing was compiled'), async () =>
    existsSync(join(home, 'build', 'native')) ? 'build/native is there' : undefined,
  );
  const entries = entriesOf(root);
  const program = write('first.mjs', firstProgram(root));
  await report.measure(run(2, "README's first program"), async () => problemOf(await start(program)));
  await report.measure(run(2, 'import'), async () =>
    problemOf(await start(write('imports.mjs', imports(entries)))),
  );
  await report.measure(run(2, 'require'), async () =>
    problemOf(await start(write('requires.cjs', requires(entries)))),
  );
  await report.measure(run(2, 'queuepair demo'), async () => {
    const { code, stdout, stderr } = await start('node_modules/.bin/queuepair', 'demo', '--json');
    return stdout.trim().endsWith('"passed":true}') ? undefined : `exit code ${code}: ${stderr.slice(-600)}`;
  });
  const isFirst = runtime.name === SUPPORTED[0]?.name;
  if (runtime.kind === 'node') {
    await report.measure(run(2, 'the native addon'), async () =>
      problemOf(await start(write('native.mjs', NATIVE))),
    );
  }
  if (isFirst) await report.measure(run(2, 'a bundle'), async () => problemOf(await start(bundle(place))));
  await report.measure(run(1, 'packages of the examples'), async () =>
    problemOf(await runAsUser(installer(runtime, examplePackages(root)), place)),
  );
  for (const name of exampleNames(root)) {
    const needed = systemProgramsOf(name);
    if (needed !== undefined && needed.folder === undefined) continue;
    // Bun puts its own undici in place of the package, which knows no option `connect`.
    if (name === 'undici.mjs' && runtime.kind === 'bun') continue;
    await report.measure(run(2, `examples/${name}`), () => playExample(runtime, place, name));
  }
  if (isFirst)
    for (const kind of ['nodenext', 'bundler'])
      await report.measure(run(3, `types, ${kind}`), () => checkTypes(place, kind));
}

/** A program of one's own, put into one file by esbuild, finds the addon. */
function bundle({ folder }: Place): string {
  const esbuild = join(root, 'node_modules', '.bin', 'esbuild');
  const flags = ['--bundle', '--platform=node', '--format=esm', '--outfile=out/native.mjs'];
  const { status, stderr } = spawnSync(esbuild, ['native.mjs', ...flags], { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return 'out/native.mjs';
}

/** As the example says; that of two programs is a server, and a client that is told where it waits. */
async function playExample(runtime: Runtime, place: Place, name: string): Promise<string | undefined> {
  const file = `node_modules/queuepair/examples/${name}`;
  const needed = systemProgramsOf(name)?.folder;
  // What of the system it needs may need more of it.
  const path = needed === undefined ? place.path : `${place.path}:${needed}:/usr/bin`;
  const example = { ...place, path };
  if (name !== 'verbs-ping-pong.mjs') return problemOf(await runAsUser([runtime.program, file], example));
  let client: Promise<Outcome> | undefined;
  const server = await runAsUser([runtime.program, file], place, (line) => {
    client = runAsUser([runtime.program, file, line.split(' ').at(-1) ?? ''], place);
  });
  return problemOf(server) ?? (client === undefined ? 'no client' : problemOf(await client));
}

async function checkTypes(place: Place, kind: string): Promise<string | undefined> {
  const code = asTypeScript(firstProgram(root));
  writeFileSync(join(place.folder, 'first.mts'), code);
  const types = join(root, 'node_modules', '@types');
  const module = kind === 'nodenext' ? 'nodenext' : 'esnext';
  const flags = [
    '--noEmit',
    '--strict',
    '--target',
    'es2022',
    '--module',
    module,
    '--moduleResolution',
    kind,
    '--typeRoots',
    types,
    '--types',
    'node',
  ];
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  // Of the declarations of the package too: no skipLibCheck.
  const { status, stdout } = spawnSync(process.execPath, [tsc, '--ignoreConfig', ...flags, 'first.mts'], {
    cwd: place.folder,
    encoding: 'utf8',
  });
  return status === 0 ? undefined : stdout.slice(0, 1000);
}

/** Node.js 18: importing says that it is too old. Deno: connect says what is missing, and what needs no TLS works. */
async function hearRefusal(runtime: Runtime, folder: string, report: Report): Promise<void> {
  const run = (what: string): Run => ({ step: 2, runtime: runtime.name, what });
  const place = newPlace(folder, runtime);
  const modules = join(folder, 'app-node-20', 'node_modules');
  if (!existsSync(modules)) return;
  symlinkSync(modules, join(place.folder, 'node_modules'));
  const flags = runtime.kind === 'deno' ? ['run', '--allow-all'] : [];
  writeFileSync(join(place.folder, 'first.mjs'), firstProgram(root));
  const sentence =
    runtime.kind === 'deno'
      ? /this runtime has no tlsSocket\.exportKeyingMaterial/
      : /queuepair needs Node\.js 20\.19 or newer, and this is 18/;
  await report.measure(run('is told what is missing'), async () => {
    const { code, stderr } = await runAsUser([runtime.program, ...flags, 'first.mjs'], place);
    return code !== 0 && sentence.test(stderr) ? undefined : `exit code ${code}: ${stderr.slice(-600)}`;
  });
  if (runtime.kind !== 'deno') return;
  const file = 'node_modules/queuepair/examples/rsocket-echo.mjs';
  await report.measure(run('examples/rsocket-echo.mjs'), async () =>
    problemOf(await runAsUser([runtime.program, ...flags, file], place)),
  );
}

await runTool(USAGE, main);
