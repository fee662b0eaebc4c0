/**
 * Whether memory has bounds: what waits in a connection stays below what its options say and what its program has asked for
 * and not got, and what a device, a server and the machine hold stays below a multiple of their connections.
 */

import type { DataPathCensus } from '../../../src/connection/data-path/data-path-census.js';
import { MESSAGE_COST_BYTES } from '../../../src/connection/fragments/message-queue.js';
import { LIMIT_RECEIVES } from '../../../src/connection/fragments/receive-window.js';
import { insidesOf } from '../../../src/connection/program/insides.js';
import { SimFailure } from '../failure.js';
import type { EndProgram } from './end-program.js';
import type { EndOptions, Scenario } from './scenario.js';
import { verifyRates } from './verify-rates.js';
import type { Course, World } from './world.js';

const SIDES = ['client', 'server'] as const;
/** Send slots, one-sided operations at a time, and the messages that prove a link. */
const MOST_REQUESTS = 32 + 64 + 2;
/** Longest fragments in the send memory, and what it is at first. */
const MOST_SEND_SLOTS = 16;
const PROOF_BYTES = 4136;
/** Messages about sealed memory beside those of the program: requests and answers under way. */
const SEALED_MESSAGES = 8 + 16;
/** Regions of a connection itself, with one that is being freed. */
const OWN_REGIONS = 12;
/** Timers of a lifeline, its channels (one that ends beside one that begins), and a registration that is tried again. */
const TIMERS_OF_AN_END = 8;
/** Of the engine and the driver of a device, of a server that closes or looks who had to wait, and of a client's rates. */
const TIMERS_OF_A_HOST = 10;
/** TCP connections of a client: that of before, the present one, and one that is refused. */
const CHANNELS_OF_A_CLIENT = 4;

/** Between two events. */
export function verifyBounds(world: World): void {
  for (const course of world.courses) {
    for (const side of SIDES) {
      const program = course.programs[side];
      if (program === null || program.connection === null) continue;
      verifyConnection(program, optionsOf(world.scenario, course, side), world.scenario);
    }
  }
  verifyHosts(world);
  verifyRates(world);
}

const optionsOf = ({ server }: Scenario, { plan }: Course, side: 'client' | 'server'): EndOptions =>
  side === 'client' ? plan.client : server;

function verifyConnection(program: EndProgram, options: EndOptions, { streams }: Scenario): void {
  const { connection, sends, underWay, grants, name } = program;
  if (connection === null) return;
  const { dataPath } = insidesOf(connection);
  const census = dataPath.census();
  const queued = connection.sendQueue;
  const { receiveSlots, slotBytes, maxMessageBytes, sendQueueBytes } = options;
  const sealed = connection.isEncrypted ? underWay + SEALED_MESSAGES : 0;
  const most: DataPathCensus = {
    requests: MOST_REQUESTS,
    // Messages that were given up when they had begun to leave are here until they have left.
    toSend: sends.length + sealed,
    unreadBytes: receiveSlots * slotBytes + MESSAGE_COST_BYTES + maxMessageBytes,
    receivers: 1,
    // Those of the peer are compared with their own limit below.
    streams: (program.streams?.openedHere ?? 0) + dataPath.streams.openedByPeer,
    operations: underWay,
    transfers: options.maxOperations,
    claims: options.maxOperations,
    grants: grants.length,
    // Send memory that has become too small leaves behind the larger one.
    bufferBytes: (receiveSlots + LIMIT_RECEIVES + 2 * MOST_SEND_SLOTS) * slotBytes + PROOF_BYTES,
  };
  for (const key of Object.keys(most) as (keyof DataPathCensus)[])
    if (census[key] > most[key]) throw beyond(name, key, census[key], most[key]);
  // One message is always taken.
  if (queued.messages > 1 && queued.bytes > sendQueueBytes)
    throw beyond(name, 'bytes that wait to be sent', queued.bytes, sendQueueBytes);
  if (dataPath.streams.openedByPeer > streams.open)
    throw beyond(name, 'streams of the peer', dataPath.streams.openedByPeer, streams.open);
  for (const { id } of program.streams?.ends.values() ?? []) {
    const unread = dataPath.streams.unreadBytes(id);
    if (unread > streams.windowBytes)
      throw beyond(name, `unread bytes of stream ${id}`, unread, streams.windowBytes);
  }
}

function verifyHosts({ courses, servers, clients, time, tls, scenario }: World): void {
  let asked = 0;
  let ends = 0;
  for (const { programs } of courses) {
    for (const program of [programs.client, programs.server]) {
      if (program === null) continue;
      ends++;
      asked += program.underWay + program.grants.length + program.impatient;
    }
  }
  const { length: plans } = courses;
  const { slots } = scenario;
  for (const { host, server } of servers) {
    const { queuePairs, device } = host.device;
    if (queuePairs.size > slots) throw beyond(host.ip, 'queue pairs', queuePairs.size, slots);
    const { mrs } = device.census();
    const mostRegions = slots * OWN_REGIONS + asked;
    if (mrs > mostRegions) throw beyond(host.ip, 'regions', mrs, mostRegions);
    const { slots: used, controlChannels } = server.census();
    if (used > slots) throw beyond(host.ip, 'slots', used, slots);
    const mostChannels = plans * CHANNELS_OF_A_CLIENT + scenario.faults.length;
    if (controlChannels > mostChannels) throw beyond(host.ip, 'channels', controlChannels, mostChannels);
  }
  // Servers that have died clean up behind their successor.
  const hosts = servers.length + clients.size;
  const mostTimers = (ends + plans) * TIMERS_OF_AN_END * servers.length + hosts * TIMERS_OF_A_HOST + asked;
  if (time.timerCount > mostTimers) throw beyond('the machine', 'timers', time.timerCount, mostTimers);
  const mostTcp = plans * CHANNELS_OF_A_CLIENT * servers.length + scenario.faults.length;
  if (tls.connections.size > mostTcp)
    throw beyond('the machine', 'TCP connections', tls.connections.size, mostTcp);
}

/** After the end of a connection. */
export function verifyEmpty(program: EndProgram): void {
  if (program.connection === null) return;
  const { dataPath } = insidesOf(program.connection);
  for (const [key, count] of Object.entries(dataPath.census())) {
    // Messages that nobody has taken may be taken yet.
    if (count > 0 && key !== 'unreadBytes')
      throw new SimFailure('left over', `${program.name}: ${count} ${key} after the end`);
  }
  const { bytes } = program.connection.sendQueue;
  if (bytes > 0) throw new SimFailure('left over', `${program.name}: ${bytes} bytes to send after the end`);
}

const beyond = (name: string, what: string, count: number, most: number): SimFailure =>
  new SimFailure('bounds', `${name}: ${count} ${what}, but ${most} are the most`);
