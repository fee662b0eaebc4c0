/**
 * Where slow round trips come from: an echo by SEND and RECV, polled, in which each side notes every turn of its loop that took much
 * longer than a turn takes, and what happened meanwhile. The side that the configuration names tells.
 */
import type { TailConfig } from '../peer-protocol.js';
import { runPeer } from './peer.js';
import { RoundTripRecorder } from './recorders.js';
import { StallLog } from './stall-log.js';
import { openEnd } from './verbs-end.js';
import { PingClient, PingServer, pingNeeds, pingReceive } from './verbs-ping.js';

await runPeer<TailConfig>(async (config, link) => {
  const { bytes, role, warmup, count } = config;
  const needs = pingNeeds(config);
  const end = await openEnd(config, needs, link, (qp, buffer) => {
    for (let i = 0; i < needs.receives; i++) qp.postRecv(pingReceive(buffer, bytes));
  });
  const recorder = new RoundTripRecorder(config);
  const side = role === 'client' ? new PingClient(end, config, recorder) : new PingServer(end, config);
  const log = new StallLog();
  let seen = 0;
  while (!side.advance()) {
    link.checkDeadline();
    log.noteTurn(side.messages >= warmup);
    // The server's round trips are from message to message.
    if (role === 'server' && side.messages > seen) recorder.tick();
    seen = side.messages;
  }
  const parts = await log.microsPerThousand(count);
  if (config.teller === role) link.result({ ...recorder.result(), parts });
});
