/** What fragments in the documents use and do not make: the reader has them, or has seen them made above. */

import type { Readable, Transform, Writable } from 'node:stream';
import type { Connection, ConnectionHandler, Device, Server } from 'queuepair';

declare global {
  const ca: Buffer;
  const cert: Buffer;
  const key: Buffer;
  const clientCa: Buffer;
  const bytes: Uint8Array;
  const memory: Uint8Array;
  const signal: AbortSignal;
  const device: Device;
  const host: string;
  const nqn: string;
  const connectNvme: typeof import('queuepair/nvme').connectNvme;
  const server: Server;
  const serve: ConnectionHandler;
  const connection: Connection;
  const transform: Transform;
  function take(bytes: Uint8Array): void;
  function report(error: Error): void;
  const pipeline: typeof import('node:stream/promises').pipeline;
  const createGzip: typeof import('node:zlib').createGzip;
  const createGunzip: typeof import('node:zlib').createGunzip;
  const createReadStream: (path: string) => Readable;
  const createWriteStream: (path: string) => Writable;
}
