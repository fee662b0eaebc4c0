/** Workers start from the bundles of the package as they do from this clone: their entry is beside whatever starts them. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { listen as Listen } from '../../src/connection/server/server.js';
import { connectTo, FREE_DEVICE, testCertificates } from '../../testkit/session-pair.js';
import { packageRoot } from '../tooling/temporary-project.js';

const HANDLER = `
import { RdmaError } from './index.js';
export default async (connection) => {
  await connection.receive();
  throw new RdmaError('ERR_RDMA_LIMIT', 'enough');
};
`;

test('a bundled server serves in workers, whose errors are of its own class', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'queuepair-bundle-'));
  try {
    const script = join(packageRoot(), 'scripts', 'package', 'bundle.mjs');
    const { bundle } = (await import(pathToFileURL(script).href)) as {
      bundle: (folder: string, entries: readonly string[]) => Promise<string[]>;
    };
    await bundle(folder, ['index.ts']);
    for (const file of ['worker-main.js', 'worker-service.js'])
      assert.ok(existsSync(join(folder, 'cli', file)), `dist/cli/${file} is missing`);
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    writeFileSync(join(folder, 'handler.js'), HANDLER);
    const { listen } = (await import(pathToFileURL(join(folder, 'index.js')).href)) as {
      readonly listen: typeof Listen;
    };
    const { server } = await testCertificates();
    const certificates = { cert: server.certPem, key: server.keyPem };
    const handler = pathToFileURL(join(folder, 'handler.js'));
    const service = await listen({ ...certificates, port: 0, device: FREE_DEVICE, workers: 1, handler });
    const ended = new Promise((resolve) => service.on('disconnection', (_, error) => resolve(error?.code)));
    const client = await connectTo(service, { recoveryMillis: 0 });
    await client.send('hello');
    assert.equal(await ended, 'ERR_RDMA_LIMIT');
    await client.closed;
    await service.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
