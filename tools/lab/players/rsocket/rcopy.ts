/**
 * rcopy: a file of COUNT bytes goes to a server. Each message has a header of version (0), command, length (16 bits), a value
 * (32) and an ID (64), all little-endian, and is answered by a header with the status.
 */
import { createHash } from 'node:crypto';
import type { ByteStream } from '../../../../src/connection/program/byte-stream.js';
import type { Player, PlayerOptions } from '../player.js';
import { endOf, leave, oneStream, Pieces, write } from './one-stream.js';
import { sampleChunks, sampleHash } from './sample.js';

const Command = { OPEN: 1, CLOSE: 2, WRITE: 3, RESPONSE: 0x80 } as const;
const HEADER_BYTES = 16;
const SIZE_BYTES = 8;
const PATH_UNIT_BYTES = 8;
const FILE_MODE = 0o100644;
const DEFAULT_PATH = '/tmp/rcopy.out';
const CHUNK_BYTES = 64 * 1024;

export const rcopy: Player = (options) => (options.host === undefined ? serve(options) : send(options));

async function send(options: PlayerOptions): ReturnType<Player> {
  const { count, text } = options;
  const { stream, over } = await oneStream(options);
  const pieces = new Pieces(stream);
  const path = text === '' ? DEFAULT_PATH : text;
  const padded = Buffer.alloc(Math.ceil((path.length + 1) / PATH_UNIT_BYTES) * PATH_UNIT_BYTES);
  padded.write(path);
  await ask(stream, pieces, Command.OPEN, FILE_MODE, padded);
  const size = Buffer.alloc(SIZE_BYTES);
  size.writeBigUInt64LE(BigInt(count));
  await write(stream, message(Command.WRITE, 0, size));
  for (const chunk of sampleChunks(count)) await write(stream, chunk);
  await expectAnswer(pieces, Command.WRITE);
  await ask(stream, pieces, Command.CLOSE, 0);
  leave(stream);
  await over();
  return { bytes: count, sha256: sampleHash(count) };
}

async function serve(options: PlayerOptions): ReturnType<Player> {
  const { stream, over } = await oneStream(options);
  const pieces = new Pieces(stream);
  const hash = createHash('sha256');
  let bytes = 0;
  for (;;) {
    const header = await pieces.next(HEADER_BYTES);
    const command = header.readUInt8(1);
    const rest = header.readUInt16LE(2) - HEADER_BYTES;
    if (command === Command.OPEN) await pieces.next(rest);
    else if (command === Command.WRITE) {
      bytes = Number((await pieces.next(SIZE_BYTES)).readBigUInt64LE());
      for (let left = bytes; left > 0; ) {
        const chunk = await pieces.next(Math.min(left, CHUNK_BYTES));
        hash.update(chunk);
        left -= chunk.length;
      }
    }
    await write(stream, message(command | Command.RESPONSE, 0));
    if (command === Command.CLOSE) break;
  }
  await endOf(stream, pieces);
  await over();
  return { bytes, sha256: hash.digest('hex') };
}

function message(command: number, value: number, body: Uint8Array = new Uint8Array(0)): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt8(command, 1);
  header.writeUInt16LE(HEADER_BYTES + body.length, 2);
  header.writeUInt32LE(value, 4);
  return Buffer.concat([header, body]);
}

async function ask(
  stream: ByteStream,
  pieces: Pieces,
  command: number,
  value: number,
  body?: Uint8Array,
): Promise<void> {
  await write(stream, message(command, value, body));
  await expectAnswer(pieces, command);
}

async function expectAnswer(pieces: Pieces, command: number): Promise<void> {
  const header = await pieces.next(HEADER_BYTES);
  const [answered, status] = [header.readUInt8(1), header.readUInt32LE(4)];
  if (answered !== (command | Command.RESPONSE) || status !== 0) {
    throw new Error(`command ${command} was answered by ${answered} with status ${status}`);
  }
}
