/** rdma_client and rdma_server: one message of 16 bytes each way, and both ask for the end. */
import {
  CountedEnd,
  connectTo,
  nextRequest,
  type Player,
  type PlayerOptions,
  startServer,
} from './player.js';

const MESSAGE_BYTES = 16;

export const rdmaClientServer: Player = (options) =>
  options.host === undefined ? serve(options) : play(options);

async function serve(options: PlayerOptions): ReturnType<Player> {
  const server = await startServer(options);
  const end = await CountedEnd.open(options.device, 1, MESSAGE_BYTES);
  try {
    const request = await nextRequest(server);
    const connection = await request.accept({ qp: end.endpoint });
    await end.receive(1);
    end.send(1);
    await end.receive(0);
    const ending = await connection.disconnect();
    return { messages: 1, ending: ending.type };
  } finally {
    await end.close();
    await server.close();
  }
}

async function play(options: PlayerOptions): ReturnType<Player> {
  const end = await CountedEnd.open(options.device, 1, MESSAGE_BYTES);
  try {
    const connection = await connectTo(options, end.endpoint);
    end.send(1);
    await end.receive(1);
    const ending = await connection.disconnect();
    return { messages: 1, ending: ending.type };
  } finally {
    await end.close();
  }
}
