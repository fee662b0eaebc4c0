/** ucmatose: the server sends its messages, the client its replies; the server ends the connections. */
import {
  CountedEnd,
  connectTo,
  nextRequest,
  type Player,
  type PlayerOptions,
  startServer,
} from './player.js';

const MESSAGE_BYTES = 100;

export const ucmatose: Player = (options) => (options.host === undefined ? serve(options) : play(options));

async function serve(options: PlayerOptions): ReturnType<Player> {
  const server = await startServer(options);
  const end = await CountedEnd.open(options.device, options.count, MESSAGE_BYTES);
  try {
    const request = await nextRequest(server);
    const connection = await request.accept({ qp: end.endpoint });
    end.send(options.count);
    await end.receive(options.count);
    const ending = await connection.disconnect();
    return { messages: options.count, ending: ending.type };
  } finally {
    await end.close();
    await server.close();
  }
}

async function play(options: PlayerOptions): ReturnType<Player> {
  const end = await CountedEnd.open(options.device, options.count, MESSAGE_BYTES);
  try {
    const connection = await connectTo(options, end.endpoint);
    await end.receive(options.count);
    end.send(options.count);
    await end.receive(0);
    const ending = await connection.ended;
    return { messages: options.count, ending: ending.type };
  } finally {
    await end.close();
  }
}
