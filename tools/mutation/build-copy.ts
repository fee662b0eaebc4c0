/**
 * A copy of the built code, in which one file after the other gets a fault. It stands in a folder that looks like the
 * repository, with links to the rest of it, so that packages, documents and the addon are found from it. A fault of the addon
 * is compiled in a copy of native/, objects included, so that one file is compiled again.
 */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { endWithUs } from '../end-with-us.js';
import { isOfAddon } from './plant.js';

/** What is copied of the build; the rest of it is linked. */
const COPIED = new Set(['src', 'test', 'testkit', 'tools']);
const LEFT_OUT = new Set(['build', '.git']);
const COMPILE_MILLIS = 300_000;

export class BuildCopy {
  readonly build: string;
  readonly #root: string;
  /** The repository. */
  readonly #origin: string;
  readonly #removed: () => void;

  /** `root` is the repository, or what looks like it: with its code in build/. */
  constructor(root: string) {
    this.#origin = root;
    this.#root = mkdtempSync(join(tmpdir(), 'queuepair-mutant-'));
    this.#removed = endWithUs(() => this.remove());
    this.build = join(this.#root, 'build');
    mkdirSync(this.build);
    for (const name of readdirSync(root)) {
      if (!LEFT_OUT.has(name)) symlinkSync(join(root, name), join(this.#root, name));
    }
    for (const name of readdirSync(join(root, 'build'))) {
      const from = join(root, 'build', name);
      if (COPIED.has(name)) cpSync(from, join(this.build, name), { recursive: true, filter: isCode });
      else if (name === 'native') symlinkSync(from, join(this.build, name));
    }
  }

  /** What a process needs to run in the copy. */
  get environment(): NodeJS.ProcessEnv {
    // Under NODE_TEST_CONTEXT a test takes itself for a part of another run.
    const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
    return environment;
  }

  /** Calls `work` while `file` (as `Fault` names it) is `code`. */
  async with<T>(file: string, code: string, work: () => Promise<T>): Promise<T> {
    if (isOfAddon(file)) return this.#withAddon(file, code, work);
    const path = join(this.build, 'src', `${file}.js`);
    const original = existsSync(path) ? readFileSync(path) : undefined;
    writeFileSync(path, code);
    try {
      return await work();
    } finally {
      if (original === undefined) rmSync(path);
      else writeFileSync(path, original);
    }
  }

  async #withAddon<T>(file: string, code: string, work: () => Promise<T>): Promise<T> {
    const sources = join(this.#root, 'planted', 'native');
    const folder = join(this.build, 'native');
    cpSync(join(this.#origin, 'native'), sources, { recursive: true, preserveTimestamps: true });
    writeFileSync(join(this.#root, 'planted', file), code);
    rmSync(folder);
    mkdirSync(folder);
    try {
      compile(
        { sources, addon: join(folder, 'queuepair.node'), log: join(folder, 'build.log') },
        this.#origin,
      );
      return await work();
    } finally {
      rmSync(folder, { recursive: true });
      symlinkSync(join(this.#origin, 'build', 'native'), folder);
      rmSync(sources, { recursive: true });
    }
  }

  remove(): void {
    this.#removed();
    rmSync(this.#root, { recursive: true, force: true });
  }
}

/** Without maps, stack traces name the lines of what runs. */
const isCode = (path: string): boolean => !/\.(d\.ts|map)$/.test(path);

/** @throws Error with what the compiler says. */
function compile(options: object, root: string): void {
  const module = pathToFileURL(join(root, 'scripts', 'build-addon.mjs')).href;
  const program = `
    import { compileAddon } from ${JSON.stringify(module)};
    const { failure } = await compileAddon(JSON.parse(process.argv[1]));
    if (failure !== null) throw new Error(failure);`;
  const args = ['--input-type=module', '--eval', program, JSON.stringify(options)];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: COMPILE_MILLIS });
  if (status !== 0) throw new Error(`the addon with a fault cannot be compiled: ${stderr.slice(0, 600)}`);
}
