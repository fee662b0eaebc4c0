/**
 * The device suite over rxe0 through libibverbs, in the machine: the files that also run over the soft device. The
 * machine's root is the host's, so Node, the build and the libraries are there under the same names.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { projectFolder } from '../folders.js';
import { SkipCase } from '../results.js';
import type { Lab } from '../scenario.js';
import { parseTap } from '../tap.js';

/** Emulated in software, Node alone needs seconds to start. */
const FILE_LIMIT_MILLIS = 300_000;

export async function conformance({ machine, results, options, say }: Lab): Promise<void> {
  const folder = join(projectFolder(), 'build', 'test', 'conformance');
  const files = readdirSync(folder).filter((name) => name.endsWith('.test.js'));
  for (const file of files) {
    const suite = file.replace('.test.js', '');
    if (isOfAnother(suite, options.only)) continue;
    say(`running ${file} in the machine…`);
    const command =
      `cd ${projectFolder()} && QUEUEPAIR_CONFORMANCE_DEVICE=rxe0 ` +
      `${process.execPath} --test --test-reporter=tap ${join(folder, file)}`;
    const { output } = await machine.run(command, FILE_LIMIT_MILLIS);
    const found = parseTap(output);
    if (found.length === 0) {
      await results.run(suite, {}, () => Promise.reject(new Error(`no test ran: ${output.slice(-300)}`)));
    }
    for (const { name, outcome, detail } of found) {
      await results.run(`${suite}: ${name}`, {}, async () => {
        if (outcome === 'skipped') throw new SkipCase(detail);
        if (outcome === 'failed') throw new Error(detail);
      });
    }
  }
}

/** Whether `--only` names a test of another suite, as in `states: a queue pair`: a file takes its time here. */
const isOfAnother = (suite: string, only: string): boolean =>
  /^[\w-]+:/.test(only) && !only.startsWith(`${suite}:`);
