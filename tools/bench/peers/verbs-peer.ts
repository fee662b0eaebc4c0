/** The peer that speaks verbs: chooses the workload of its configuration and its role. */
import type { MemoryRegion } from '../../../src/verbs/memory-region.js';
import type { QueuePair } from '../../../src/verbs/queue-pair.js';
import type { VerbsConfig } from '../peer-protocol.js';
import { type PeerLink, runPeer } from './peer.js';
import { FlowRecorder, RoundTripRecorder } from './recorders.js';
import { CostServer, costNeeds, costReceives } from './verbs-cost.js';
import { type EndNeeds, openEnd } from './verbs-end.js';
import { PingClient, PingServer, pingNeeds, pingReceive } from './verbs-ping.js';
import { progress } from './verbs-progress.js';
import { StreamClient, StreamServer, streamNeeds, streamReceive } from './verbs-stream.js';

await runPeer<VerbsConfig>(async (config, link) => {
  const isServer = config.role === 'server';
  switch (config.workload) {
    case 'cost':
      return isServer ? await costServer(config, link) : await pingClient(config, link);
    case 'ping':
      return isServer ? await pingServer(config, link) : await pingClient(config, link);
    default:
      return isServer ? await streamServer(config, link) : await streamClient(config, link);
  }
});

async function pingClient(config: VerbsConfig, link: PeerLink): Promise<void> {
  const needs = pingNeeds(config);
  const end = await openEnd(config, needs, link, postPingReceives(config, needs));
  const recorder = new RoundTripRecorder(config);
  await progress(config, end, new PingClient(end, config, recorder), link);
  // The other end measures where the cost of serving is asked for.
  if (config.workload === 'ping') link.result(recorder.result());
}

async function pingServer(config: VerbsConfig, link: PeerLink): Promise<void> {
  const needs = pingNeeds(config);
  const end = await openEnd(config, needs, link, postPingReceives(config, needs));
  await progress(config, end, new PingServer(end, config), link);
}

async function costServer(config: VerbsConfig, link: PeerLink): Promise<void> {
  const end = await openEnd(config, costNeeds(config), link, (qp, buffer) =>
    qp.postRecvBatch(costReceives(buffer, config.bytes)),
  );
  const server = new CostServer(end, config);
  await progress(config, end, server, link);
  link.result(server.result());
}

async function streamClient(config: VerbsConfig, link: PeerLink): Promise<void> {
  const end = await openEnd(config, streamNeeds(config), link, () => undefined);
  const recorder = new FlowRecorder(config);
  await progress(config, end, new StreamClient(end, config, recorder), link);
  link.result(config.postBatch > 1 ? recorder.messagesPerSecond() : recorder.bandwidth());
}

async function streamServer(config: VerbsConfig, link: PeerLink): Promise<void> {
  const needs = streamNeeds(config);
  const end = await openEnd(config, needs, link, (qp, buffer) => {
    for (let i = 0; i < needs.receives; i++) qp.postRecv(streamReceive(buffer));
  });
  await progress(config, end, new StreamServer(end, config), link);
}

function postPingReceives(
  { bytes }: VerbsConfig,
  { receives }: EndNeeds,
): (qp: QueuePair, buffer: MemoryRegion) => void {
  return (qp, buffer) => {
    for (let i = 0; i < receives; i++) qp.postRecv(pingReceive(buffer, bytes));
  };
}
