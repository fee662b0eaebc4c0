/** cmtime: many connections at once, without data; the client ends them. */
import type { CmConnection } from '../../../src/cm/cm-connection.js';
import { openEndpoint } from '../../../src/endpoint/endpoint.js';
import { connectTo, nextRequest, type Player, type PlayerOptions, startServer } from './player.js';

export const cmtime: Player = (options) => (options.host === undefined ? serve(options) : play(options));

async function serve(options: PlayerOptions): ReturnType<Player> {
  const server = await startServer(options);
  const accepted: Promise<CmConnection>[] = [];
  for (let i = 0; i < options.count; i++) {
    const request = await nextRequest(server);
    accepted.push(openEndpoint(options.device).then((endpoint) => request.accept({ qp: endpoint })));
  }
  const connections = await Promise.all(accepted);
  const endings = await Promise.all(connections.map(({ ended }) => ended));
  await server.close();
  await closeAll(options);
  return { connections: connections.length, byPeer: countByPeer(endings) };
}

async function play(options: PlayerOptions): ReturnType<Player> {
  const begin = performance.now();
  const connections = await Promise.all(
    Array.from({ length: options.count }, async () => connectTo(options, await openEndpoint(options.device))),
  );
  const millis = performance.now() - begin;
  await Promise.all(connections.map((connection) => connection.disconnect()));
  await closeAll(options);
  return { connections: connections.length, millisAll: Math.round(millis) };
}

const countByPeer = (endings: readonly { readonly type: string }[]): number =>
  endings.filter((ending) => 'byPeer' in ending && ending.byPeer === true).length;

/** Endpoints have nothing that wants an order here. */
const closeAll = ({ device }: PlayerOptions): Promise<void> => device.close({ force: true });
