/**
 * A copy of the built code, in which one file after the other gets a fault. It stands in a folder that looks like the
 * repository, with links to the rest of it, so that packages, documents and the addon are found from it.
 */
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
import { endWithUs } from '../end-with-us.js';

/** What is copied of the build; the rest of it is linked. */
const COPIED = new Set(['src', 'test', 'testkit', 'tools']);
const LEFT_OUT = new Set(['build', '.git']);

export class BuildCopy {
  readonly build: string;
  readonly #root: string;
  readonly #removed: () => void;

  /** `root` is the repository, or what looks like it: with its code in build/. */
  constructor(root: string) {
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

  /** Calls `work` while `file` (under src/, without extension) is `code`. */
  async with<T>(file: string, code: string, work: () => Promise<T>): Promise<T> {
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

  remove(): void {
    this.#removed();
    rmSync(this.#root, { recursive: true, force: true });
  }
}

/** Without maps, stack traces name the lines of what runs. */
const isCode = (path: string): boolean => !/\.(d\.ts|map)$/.test(path);
