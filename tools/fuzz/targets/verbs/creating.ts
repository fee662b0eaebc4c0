/** Makes objects of every kind, with arguments that are right by default and wrong by choice. */
import { QpType } from '../../../../src/verbs/qp-state.js';
import type { Choices } from '../../choices.js';
import { must } from '../../target.js';
import { absurd, addressVector, number } from './arguments.js';
import { attempt, isDone } from './call.js';
import { Entry, type SrqEntry } from './registry.js';
import { GIDS, type VerbsWorld } from './verbs-world.js';

const ACCESSES = [15, 31, 1, 0, 4, 5, 3, 9, 33, 17, 2, 8, 6, 64, 128, -1];
const LENGTHS = [256, 1, 7, 8, 64, 2048];

type Creator = (world: VerbsWorld, device: number, choices: Choices) => Promise<void>;

export async function create(
  world: VerbsWorld,
  device: number,
  kind: number,
  choices: Choices,
): Promise<void> {
  const creators: readonly Creator[] = [
    createMr,
    createQp,
    createCq,
    createSrq,
    createAh,
    createMw,
    createPd,
    createChannel,
  ];
  await (creators[kind % creators.length] as Creator)(world, device, choices);
}

async function createPd(world: VerbsWorld, device: number): Promise<void> {
  const { objects, devices, closedDevices } = world;
  if (objects.isFull('pds')) return;
  const result = await attempt(() => (devices[device] as (typeof devices)[0]).allocPd());
  must(isDone(result) !== closedDevices[device], 'an open device makes protection domains');
  if (isDone(result)) objects.add('pds', new Entry('pds', device, result.value, []));
}

async function createChannel(world: VerbsWorld, device: number): Promise<void> {
  const { objects, devices, closedDevices } = world;
  if (objects.isFull('channels')) return;
  const result = await attempt(() => (devices[device] as (typeof devices)[0]).createCompletionChannel());
  must(isDone(result) !== closedDevices[device], 'an open device makes channels');
  if (isDone(result)) objects.add('channels', new Entry('channels', device, result.value, []));
}

async function createCq(world: VerbsWorld, device: number, choices: Choices): Promise<void> {
  const { objects, devices, closedDevices } = world;
  if (objects.isFull('cqs')) return;
  const capacity = number(choices, 8, 1, 2, 64, 0);
  const channel = choices.oneIn(2) ? objects.pick('channels', device, choices) : undefined;
  const options = channel === undefined ? { capacity } : { capacity, channel: channel.object };
  const result = await attempt(() => (devices[device] as (typeof devices)[0]).createCq(options));
  const isSize = Number.isInteger(capacity) && capacity >= 1 && capacity <= 2 ** 20;
  const isOwn = channel === undefined || (!channel.closed && channel.device === device);
  must(
    isDone(result) === (isSize && isOwn && !closedDevices[device]),
    'a completion queue needs right arguments',
  );
  if (isDone(result))
    objects.add('cqs', new Entry('cqs', device, result.value, channel === undefined ? [] : [channel]));
}

async function createMr(world: VerbsWorld, device: number, choices: Choices): Promise<void> {
  const { objects, memory } = world;
  const pd = objects.pick('pds', device, choices);
  if (pd === undefined || objects.isFull('mrs')) return;
  const access = choices.oneIn(12) ? absurd(choices) : choices.pick(ACCESSES);
  const carved = memory.carve(choices.pick(LENGTHS));
  if (carved === null) return;
  const result = await attempt(() => pd.object.regMr(carved.bytes, access));
  const isKnown = Number.isInteger(access) && access >= 0 && access <= 63;
  const isRight = isKnown && ((access & 10) === 0 || (access & 1) !== 0) && !pd.closed;
  must(isDone(result) === isRight, 'a region needs rights that go together');
  if (!isDone(result)) return;
  const entry = objects.add('mrs', new Entry('mrs', pd.device, result.value, [pd]));
  Object.assign(entry, { piece: carved.piece });
  memory.grant(carved.piece, access);
}

async function createMw(world: VerbsWorld, device: number, choices: Choices): Promise<void> {
  const { objects } = world;
  const pd = objects.pick('pds', device, choices);
  if (pd === undefined || objects.isFull('mws')) return;
  const result = await attempt(() => pd.object.allocMw());
  must(isDone(result) === !pd.closed, 'an open domain makes windows');
  if (isDone(result)) objects.add('mws', new Entry('mws', pd.device, result.value, [pd]));
}

async function createAh(world: VerbsWorld, device: number, choices: Choices): Promise<void> {
  const { objects } = world;
  const pd = objects.pick('pds', device, choices);
  if (pd === undefined || objects.isFull('ahs')) return;
  const av = addressVector(choices, GIDS[1 - device] as string);
  const result = await attempt(() => pd.object.createAh(av));
  if (isDone(result)) objects.add('ahs', new Entry('ahs', pd.device, result.value, [pd]));
  if (pd.closed) must(!isDone(result), 'a closed domain makes nothing');
}

async function createSrq(world: VerbsWorld, device: number, choices: Choices): Promise<void> {
  const { objects } = world;
  const pd = objects.pick('pds', device, choices);
  if (pd === undefined || objects.isFull('srqs')) return;
  const maxWr = number(choices, 8, 1, 3, 0);
  const maxSge = number(choices, 2, 0, 1, 16, 17);
  const result = await attempt(() => pd.object.createSrq({ maxWr, maxSge }));
  if (!isDone(result)) return;
  must(
    !pd.closed && maxWr >= 1 && maxSge >= 0 && maxSge <= 16,
    'a shared receive queue needs right arguments',
  );
  const entry: SrqEntry = objects.add('srqs', new Entry('srqs', pd.device, result.value, [pd]));
  entry.queue = world.ledger.newQueue('shared receive queue', false);
}

/** A queue pair beside those of the beginning, whose peer is one of the other device. */
async function createQp(world: VerbsWorld, device: number, choices: Choices): Promise<void> {
  const { objects } = world;
  const pd = objects.pick('pds', device, choices);
  const sendCq = objects.pick('cqs', device, choices);
  const recvCq = objects.pick('cqs', device, choices);
  const srq = choices.oneIn(4) ? objects.pick('srqs', device, choices) : undefined;
  if (pd === undefined || sendCq === undefined || recvCq === undefined || objects.isFull('qps')) return;
  const type = choices.pick([QpType.RC, QpType.UC, QpType.UD]);
  if (choices.oneIn(6)) {
    await createWrongQp(world, device, choices);
    return;
  }
  const result = await attempt(() => world.addQp(pd, sendCq, recvCq, type, srq));
  const used = [pd, sendCq, recvCq, ...(srq === undefined ? [] : [srq])];
  const areOpen = used.every((entry) => !entry.closed);
  const areOwn = used.every((entry) => entry.device === pd.device);
  must(isDone(result) === (areOpen && areOwn), 'a queue pair needs open objects of its own device');
  if (isDone(result)) result.value.peer = objects.qps[(1 - pd.device) * 4] as never;
}

async function createWrongQp(world: VerbsWorld, device: number, choices: Choices): Promise<void> {
  const pd = world.objects.pick('pds', device, choices);
  const cq = world.objects.pick('cqs', device, choices);
  if (pd === undefined || cq === undefined) return;
  const name = choices.pick(['maxSendWr', 'maxRecvWr', 'maxSendSge', 'maxRecvSge', 'maxInlineData'] as const);
  const value = choices.pick([-1, Number.NaN, 0.5, 1e9, 2 ** 32, Number.POSITIVE_INFINITY]);
  const options = { sendCq: cq.object, recvCq: cq.object, capacity: { [name]: value } };
  const result = await attempt(() => pd.object.createQp(options));
  must(!isDone(result), `a queue pair with ${name} ${value} is refused`);
}
