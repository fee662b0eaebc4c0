/** Two hosts of the communication manager, and how they become connected. */
import type { CmHandle, CmMachineOptions } from '../../../src/roce/cm/cm-outputs.js';
import { CmHosts, type CmTestHost } from '../../../testkit/cm-hosts.js';

export const [CLIENT_QPN, SERVER_QPN] = [0x100, 0x200];

/** A server that listens, and a client. */
export function pair(options?: Partial<CmMachineOptions>) {
  const hosts = new CmHosts();
  const [client, server] = [hosts.add('10.0.0.2', options), hosts.add('10.0.0.1', options)];
  server.listen();
  return { hosts, client, server };
}

/** Two ends that have just become connected. */
export function connected(
  client: CmTestHost,
  server: CmTestHost,
  qpns = [CLIENT_QPN, SERVER_QPN],
): [CmHandle, CmHandle] {
  const id = client.connectTo(server, qpns[0] as number);
  const request = server.take('request');
  server.accept(request.id, qpns[1] as number);
  client.take('response');
  client.establish(id);
  server.take('established');
  return [id, request.id];
}
