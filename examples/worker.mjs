/**
 * Jobs for worker threads, each with a connection of its own: a worker is told a range, fetches the data by RDMA READ, and answers with a
 * result. The workers could as well be on other hosts:
 *
 *   node examples/worker.mjs
 */
import { createHash } from 'node:crypto';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { connect, listen, RemoteBuffer } from 'queuepair';
import { devCertificates } from 'queuepair/certificates';

const WORKERS = 3;
const JOBS = 24;
const JOB_BYTES = 256 * 1024;

if (isMainThread) await handOut();
else await work();

async function handOut() {
  const data = Buffer.alloc(JOBS * JOB_BYTES, 'what is to be hashed ');
  const waiting = Array.from({ length: JOBS }, (_, job) => job);
  const results = [];
  let begin;
  let present = 0;
  const begun = new Promise((resolve) => {
    begin = resolve;
  });
  const certificates = await devCertificates();

  const server = await listen({ ...certificates.server, port: 0 }, async (connection) => {
    const grant = await connection.grant(data, { read: true });
    await connection.send(grant.remote.encode());
    if (++present === WORKERS) begin();
    await begun; // or the first one would have done all before the others are there
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      await connection.send(String(job));
      const answer = await connection.receive();
      results[job] = Buffer.from(answer.data).toString('hex');
    }
  }); // when the handler has returned, the connection closes, and the worker ends

  const workers = Array.from({ length: WORKERS }, (_, number) => {
    const { port } = server.address;
    return new Worker(new URL(import.meta.url), { workerData: { port, number } });
  });
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve))));
  await server.close();

  const isRight = (result, job) =>
    result === hash(data.subarray(job * JOB_BYTES, (job + 1) * JOB_BYTES)).toString('hex');
  console.log(`${results.filter(isRight).length} of ${JOBS} results are right`);
}

async function work() {
  const certificates = await devCertificates();
  const connection = await connect({ port: workerData.port, ...certificates.client });
  const data = RemoteBuffer.decode((await connection.receive()).data);
  let jobs = 0;
  for await (const message of connection) {
    const job = Number(Buffer.from(message.data));
    const bytes = await connection.read(data.at(job * JOB_BYTES, JOB_BYTES));
    await connection.send(hash(bytes));
    jobs++;
  }
  console.log(`worker ${workerData.number} has done ${jobs > 0 ? 'its share' : 'nothing'}`);
}

function hash(bytes) {
  return createHash('sha256').update(bytes).digest();
}
