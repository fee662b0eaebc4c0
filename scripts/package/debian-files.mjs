/**
 * Unpacks packages of Debian, of any architecture, into a folder: nothing is installed, so no rights are needed and nothing of the
 * system changes. Needs apt and dpkg-deb.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../child-process.mjs';

/**
 * @param {string} folder is made, and kept for the next time
 * @param {string} architecture as Debian names it: `arm64`
 * @param {readonly string[]} packages
 */
export async function unpackDebian(folder, architecture, packages) {
  const done = join(folder, '.unpacked');
  if (existsSync(done)) return;
  rmSync(folder, { recursive: true, force: true });
  const apt = join(folder, '.apt');
  for (const path of ['state/lists/partial', 'cache/archives/partial'])
    mkdirSync(join(apt, path), { recursive: true });
  const configuration = join(apt, 'apt.conf');
  writeFileSync(join(apt, 'state', 'status'), '');
  writeFileSync(
    configuration,
    [
      `APT::Architecture "${architecture}";`,
      `APT::Architectures { "${architecture}"; };`,
      `Dir::State "${join(apt, 'state')}";`,
      `Dir::State::status "${join(apt, 'state', 'status')}";`,
      `Dir::Cache "${join(apt, 'cache')}";`,
      '',
    ].join('\n'),
  );
  const env = { ...process.env, APT_CONFIG: configuration };
  await must('apt-get', ['update', '-qq'], { cwd: apt, env });
  await must('apt-get', ['download', '-qq', ...packages], { cwd: apt, env });
  for (const file of readdirSync(apt).filter((name) => name.endsWith('.deb')))
    await must('dpkg-deb', ['-x', join(apt, file), folder], { cwd: apt, env });
  rmSync(apt, { recursive: true });
  writeFileSync(done, '');
}

async function must(command, args, options) {
  const { code, output } = await run(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  if (code !== 0) throw new Error(`${[command, ...args].join(' ')} failed:\n${output}`);
}
