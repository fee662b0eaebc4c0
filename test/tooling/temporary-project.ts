/**
 * A project of a few lines in a temporary folder, with this package's scripts and configuration and the installed
 * dependencies, so that tests can break it at will.
 *
 * Its `npm` is a stub that never touches the network; node_modules is a folder of links, so that nothing done to it
 * reaches the real one.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

const RUN_LIMIT_MILLIS = 60_000;

// npm is found through this variable when a command was started by npm.
const NPM_STUB = `
import { appendFileSync, copyFileSync, existsSync } from 'node:fs';
appendFileSync('npm-calls', process.argv.slice(2).join(' ') + '\\n');
if (existsSync('npm-fails')) { console.error('registry not reachable'); process.exit(1); }
copyFileSync('package-lock.json', 'node_modules/.package-lock.json');
`;

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Started {
  readonly child: ChildProcessWithoutNullStreams;
  readonly outcome: Promise<Outcome>;
}

export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

export class TemporaryProject {
  readonly path: string;

  constructor(t: TestContext) {
    this.path = mkdtempSync(join(tmpdir(), 'queuepair-tooling-'));
    t.after(() => rmSync(this.path, { recursive: true, force: true }));
    const root = packageRoot();
    for (const name of ['scripts', 'package.json', 'package-lock.json', 'tsconfig.json', 'biome.json']) {
      cpSync(join(root, name), join(this.path, name), { recursive: true });
    }
    const modules = join(root, 'node_modules');
    mkdirSync(join(this.path, 'node_modules'));
    for (const name of readdirSync(modules)) {
      if (!name.startsWith('.')) symlinkSync(join(modules, name), join(this.path, 'node_modules', name));
    }
    this.write('node_modules/.package-lock.json', this.read('package-lock.json'));
    this.write('npm-cli.js', NPM_STUB);
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.path, path)), { recursive: true });
    writeFileSync(join(this.path, path), text);
  }

  read(path: string): string {
    return readFileSync(join(this.path, path), 'utf8');
  }

  has(path: string): boolean {
    return existsSync(join(this.path, path));
  }

  remove(path: string): void {
    rmSync(join(this.path, path), { recursive: true });
  }

  /** Makes a file look as if it had been written some time ago. */
  age(path: string, millis: number): void {
    const then = new Date(Date.now() - millis);
    utimesSync(join(this.path, path), then, then);
  }

  /** Runs node in the project to its end. */
  node(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Outcome> {
    return this.start(args, environment).outcome;
  }

  /** Starts node in the project. */
  start(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Started {
    // Under this variable node's test runner takes itself for a file of another run, and runs nothing.
    const { NODE_TEST_CONTEXT: _, ...inherited } = process.env;
    const env = { ...inherited, npm_execpath: join(this.path, 'npm-cli.js'), ...environment };
    const child = spawn(process.execPath, args, { cwd: this.path, env, timeout: RUN_LIMIT_MILLIS });
    child.stdin.end();
    return { child, outcome: collect(child) };
  }
}

function collect(child: ChildProcessWithoutNullStreams): Promise<Outcome> {
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}
