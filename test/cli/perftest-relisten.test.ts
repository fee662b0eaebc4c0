/** perftest -R against a server that, as the stock one, stops listening between its two connections. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { CmPerftestMeeting } from '../../src/cli/perftest/cm-perftest-meeting.js';
import type { CmConnection } from '../../src/cm/cm-connection.js';
import { type CmServer, listen } from '../../src/cm/cm-server.js';
import { type Endpoint, openEndpoint } from '../../src/endpoint/endpoint.js';
import { CmPair } from '../../testkit/cm-pair.js';

/** The standard port, as perftest knows no other; at addresses that no other test has. */
const soft = (host: string): string => `soft:${host}?port=4791`;

test('perftest -R asks again while the server does not listen for its second connection yet', async () => {
  await using pair = await CmPair.open({
    clientDevice: soft('127.0.91.1'),
    serverDevice: soft('127.0.91.2'),
  });
  const { port } = pair.to;
  const ends = [await pair.openEnd(pair.server), await pair.openEnd(pair.server)] as const;
  const accept = async (server: CmServer, end: Endpoint): Promise<CmConnection | undefined> =>
    (await server.next())?.accept({ qp: end });
  const first = accept(pair.listener, ends[0]);
  const meeting = await CmPerftestMeeting.connect(pair.client, pair.to.host, { port, timeoutMillis: 10_000 });
  await first;
  await pair.listener.close();
  const measured = await openEndpoint(pair.client);
  const sent = (): number => pair.server.counters()['cm_sent'] ?? 0;
  const sentBefore = sent();
  const connecting = meeting.connectMeasured(measured);
  connecting.catch(() => {});
  while (sent() === sentBefore) await delay(5);
  await using again = await listen(pair.server, { port });
  const second = accept(again, ends[1]);
  await connecting;
  assert.notEqual(await second, undefined);
  await meeting.close();
  for (const end of [measured, ...ends]) await end.close();
});
