/** What must hold: between two events, and when all is over. */
import { QUEUED_MESSAGE_BYTES } from '../../../src/connection/program/send-queue.js';
import type { RdmaErrorCode } from '../../../src/verbs/errors.js';
import { SimFailure } from '../failure.js';
import type { EndProgram } from './end-program.js';
import { type OneSidedRecord, sameBytes } from './records.js';
import { otherSide, type Side } from './scenario.js';
import { verifyBounds, verifyEmpty } from './verify-bounds.js';
import { isByEnd, verifyConnect, verifyPatience, wasLeft, wasTakenBack } from './verify-patience.js';
import { verifyStreams } from './verify-streams.js';
import { type Course, clientIp, type World } from './world.js';

const SIDES = ['client', 'server'] as const;
/** Looking at everything takes a while. */
const STEPS_BETWEEN_BOUNDS = 8;

/** With these a message was refused at once: it must never arrive. */
const NEVER_SENT: readonly RdmaErrorCode[] = [
  'ERR_RDMA_INVALID_ARGUMENT',
  'ERR_RDMA_MESSAGE_TOO_LARGE',
  'ERR_RDMA_QUEUE_FULL',
];
/** Nobody here breaks a rule: an error that says so is not true. */
const NEVER: readonly RdmaErrorCode[] = [
  'ERR_RDMA_INTERNAL',
  'ERR_RDMA_PROTOCOL',
  'ERR_RDMA_INTEGRITY',
  'ERR_RDMA_INVALID_STATE',
  'ERR_RDMA_INVALID_ARGUMENT',
  'ERR_RDMA_IN_USE',
  'ERR_RDMA_LIMIT',
];

export function verifyStep(world: World): void {
  if (world.time.steps % STEPS_BETWEEN_BOUNDS === 0) verifyBounds(world);
  for (const { programs } of world.courses) {
    for (const side of SIDES) {
      const program = programs[side];
      if (program !== null) for (const record of program.oneSided) watch(program, record);
    }
  }
  for (const { device, connections } of world.clients.values()) {
    if (device.queuePairs.size > connections)
      throw new SimFailure('recoveries', 'a client has more queue pairs than connections');
  }
}

/** Sees that a write was carried out, and takes the trace away, so that doing it again would show. */
function watch(program: EndProgram, record: OneSidedRecord): void {
  const { trace } = record;
  if (trace === null) return;
  const { memory, at, magic } = trace;
  const value = ((memory[at] as number) << 24) | ((memory[at + 1] as number) << 16);
  if ((value | ((memory[at + 2] as number) << 8) | (memory[at + 3] as number)) >>> 0 !== magic) return;
  memory.fill(0, at, at + 4);
  record.executions++;
  if (record.executions > 1 && !record.repeatable)
    throw new SimFailure('one-sided', `${program.name}: write ${record.number} was carried out twice`);
  if (record.executions > 1 + program.failures)
    throw new SimFailure(
      'one-sided',
      `${program.name}: write ${record.number} was carried out once too often`,
    );
}

export function verifyEnd(world: World): void {
  for (const course of world.courses) {
    for (const side of SIDES) {
      const program = course.programs[side];
      if (program === null || program.connection === null) continue;
      verifySettled(program);
      verifyMessages(world, course, side);
      const options = side === 'client' ? course.plan.client : world.scenario.server;
      verifyOneSided(course, program, options.maxOperations);
      verifyGrants(program);
      verifyStreams(program);
      verifyEmpty(program);
      verifyPatience(program, world.marks);
      verifyErrors(world, course, program);
    }
    verifyConnect(world, course);
    verifyTold(world, course);
    verifyBlocked(world, course);
    verifySurvival(world, course);
  }
  verifyNothingLeft(world);
}

function verifySettled(program: EndProgram): void {
  const { unsettled } = program;
  if (unsettled.length > 0)
    throw new SimFailure('promises', `${program.name}: never settled: ${unsettled.join(', ')}`);
  const { drained, drainError, end, name } = program;
  if (drained === 'error' && drainError !== end?.error)
    throw new SimFailure(
      'truth',
      `${name}: receive ended with ${drainError}, the connection with ${end?.error}`,
    );
}

/** Of what `sender` sent, against what `receiver` took. */
function verifyMessages(world: World, course: Course, side: Side): void {
  const { [side]: sender, [otherSide(side)]: receiver } = course.programs;
  if (sender === null) return;
  const arrived = new Set(receiver?.received ?? []);
  const last = receiver?.received.at(-1) ?? -1;
  const tookAll =
    receiver !== null && receiver.drained !== 'no' && !receiver.endedItself && !receiver.hasCrashed;
  const isKnown =
    leftBySession(world, course) && hasLeftAtOnce(sender) && receiver !== null && hasLeftAtOnce(receiver);
  for (const record of sender.sends) {
    const { number, outcome, wasEnding } = record;
    const code = outcome?.error?.code;
    const wasRefused =
      code !== undefined &&
      (NEVER_SENT.includes(code) ||
        (wasEnding && code === 'ERR_RDMA_CLOSED') ||
        wasTakenBack(sender, record));
    if (wasRefused && arrived.has(number))
      throw new SimFailure('messages', `${sender.name}: message ${number} was refused and came all the same`);
    if (code !== undefined && code !== 'ERR_RDMA_OUTCOME_UNKNOWN' && arrived.has(number))
      throw new SimFailure('truth', `${sender.name}: message ${number} came, and was told as ${code}`);
    if (isKnown && code === 'ERR_RDMA_OUTCOME_UNKNOWN' && !wasLeft(sender, record))
      throw new SimFailure(
        'truth',
        `${sender.name}: both ends left in order, but it is unknown whether message ${number} came (${arrived.has(number)})`,
      );
    if (!wasRefused && number < last && !arrived.has(number))
      throw new SimFailure('messages', `${sender.name}: message ${number} is missing before ${last}`);
    if (code === undefined && tookAll && !arrived.has(number))
      throw new SimFailure(
        'messages',
        `${sender.name}: message ${number} counts as delivered and never came`,
      );
    if (wasEnding && code === undefined)
      throw new SimFailure('messages', `${sender.name}: message ${number} was taken after the end`);
  }
}

/** Who leaves says what it has got: by the session, which is there to the end, unless it breaks and one end does not learn of it. */
const leftBySession = ({ scenario }: World, { plan }: Course): boolean =>
  (scenario.server.lifeline === 'session' || plan.client.lifeline === 'session') &&
  !scenario.faults.some(({ what }) => what.kind === 'reset' && what.whoLearns !== 'both');

/** It was up until it came to its end in order, which counts as a failure. */
const hasLeftAtOnce = ({ end, failures }: EndProgram): boolean => end?.error === null && failures === 1;

function verifyOneSided(course: Course, program: EndProgram, mostOperations: number): void {
  for (const record of program.oneSided) {
    const { kind, number, outcome, executions, trace, repeatable, failuresBefore, isRefusable } = record;
    const error = outcome?.error ?? null;
    const what = `${program.name}: ${kind} ${number}`;
    if (error === null && trace !== null && executions === 0)
      throw new SimFailure('one-sided', `${what} counts as done and was never carried out`);
    if (error?.code === 'ERR_RDMA_QUEUE_FULL' && record.othersUnderWay < mostOperations)
      throw new SimFailure('truth', `${what}: only ${record.othersUnderWay} others were under way`);
    if (wasTakenBack(program, record) && executions > 0)
      throw new SimFailure('patience', `${what} was taken back, and carried out all the same`);
    if (error?.code === 'ERR_RDMA_OUTCOME_UNKNOWN' && !wasLeft(program, record)) {
      if (repeatable && !mayBreakLinks(course))
        throw new SimFailure('truth', `${what} is repeatable, but its outcome is unknown`);
      if (program.failures === failuresBefore && !isByEnd(program, error))
        throw new SimFailure('truth', `${what}: nothing failed, but its outcome is unknown`);
    }
    const isRefusal = error?.status === 'REM_ACCESS_ERR' || error?.status === 'REM_INV_REQ_ERR';
    if (isRefusal && !isRefusable && !program.oneSided.some((other) => other.isRefusable))
      throw new SimFailure('truth', `${what} was refused: ${error?.message}`);
  }
}

/** Whether links may end again and again because a program asks for what it may not have. */
const mayBreakLinks = ({ plan }: Course): boolean =>
  [...plan.operations.client, ...plan.operations.server].some(
    (operation) => operation.kind === 'grant' || ('wrong' in operation && operation.wrong),
  );

function verifyGrants(program: EndProgram): void {
  for (const { memory, after } of program.grants) {
    if (after !== undefined && !sameBytes(memory, after))
      throw new SimFailure('grants', `${program.name}: memory changed after its grant was over`);
  }
}

function verifyErrors(world: World, course: Course, program: EndProgram): void {
  if (mayBreakRules(world, course) || program.hasCrashed) return;
  for (const { number, outcome, queuedBytes, data } of program.sends) {
    if (outcome?.error?.code !== 'ERR_RDMA_QUEUE_FULL') continue;
    const { maxBytes } = program.connection?.sendQueue ?? { maxBytes: 0 };
    if (queuedBytes === 0 || queuedBytes + QUEUED_MESSAGE_BYTES + data.length <= maxBytes)
      throw new SimFailure('truth', `${program.name}: there was room for message ${number}`);
  }
  const calls = program.streams?.calls ?? [];
  const records = [...program.sends, ...program.oneSided, ...program.grants, ...calls];
  const errors = [program.end, ...records.map(({ outcome }) => outcome)].map((outcome) => outcome?.error);
  for (const error of errors) {
    if (error !== undefined && error !== null && NEVER.includes(error.code))
      throw new SimFailure('truth', `${program.name}: nobody did anything wrong, but: ${error.stack}`);
  }
}

/** Whether a program of this plan asks for what ends a connection, as the rules say. */
const mayBreakRules = (world: World, course: Course): boolean =>
  asksForTooMuch(world, course) || course.programs.server === null;

function asksForTooMuch({ scenario }: World, { plan }: Course): boolean {
  const isSealed = plan.client.encryption || scenario.server.encryption;
  const all = [...plan.operations.client, ...plan.operations.server];
  const tooLong = Math.min(plan.client.maxMessageBytes, scenario.server.maxMessageBytes);
  return all.some(
    (operation) =>
      (operation.kind === 'send' && operation.bytes > tooLong) ||
      (isSealed && (operation.kind === 'grant' || ('wrong' in operation && operation.wrong))),
  );
}

/** A connection that nobody ended comes through faults that are short beside the time that it has to recover. */
function verifySurvival(world: World, course: Course): void {
  const { scenario } = world;
  const { plan, programs } = course;
  // A server whose client is up has it as well, or gets it, although its program may not know yet.
  if (asksForTooMuch(world, course) || scenario.plans.length > scenario.slots) return;
  const recovery = Math.min(plan.client.recoveryMillis, scenario.server.recoveryMillis);
  const isFatal = scenario.faults.some(
    ({ what }) =>
      ['verb', 'restart', 'closeServer', 'ghost', 'halt'].includes(what.kind) ||
      // The end that hears nothing goes on for a while with a session that only it has, and may close meanwhile.
      (what.kind === 'reset' && what.whoLearns !== 'both'),
  );
  const { client, server } = plan.operations;
  const operations = [...client, ...server];
  const deadline = Math.min(plan.client.handshakeDeadlineMillis, scenario.server.handshakeDeadlineMillis);
  const isImpatient = plan.abortAfter !== null || deadline < 5000;
  if (
    scenario.blocked !== null ||
    isFatal ||
    isImpatient ||
    recovery < 3000 ||
    operations.some(({ kind }) => kind === 'abort')
  )
    return;
  const troubled = scenario.faults.reduce((sum, { lasts }) => sum + lasts + 400, 0);
  if (troubled > recovery / 3) return;
  const error = course.connectError ?? programs.client?.end?.error ?? programs.server?.end?.error ?? null;
  // The server closed, and the client had gone without a word that came through.
  if (error?.code === 'ERR_RDMA_ABORTED') return;
  if (error !== null && scenario.faults.length === 0)
    throw new SimFailure('survival', `connection ${course.number}: no fault, but ${error.stack}`);
  if (error !== null && course.connectError === undefined)
    throw new SimFailure('survival', `connection ${course.number} ended by short faults: ${error.stack}`);
}

/** Both ends say that the sessions work and the packets do not come through, where that is all that fails. */
function verifyBlocked({ scenario, marks, refusals }: World, { plan, number, connectError }: Course): void {
  const { blocked, server, slots, plans } = scenario;
  if (blocked === null || blocked.host !== plan.host || plans.length > slots) return;
  const deadline = Math.min(plan.client.handshakeDeadlineMillis, server.handshakeDeadlineMillis);
  if (plan.abortAfter !== null || deadline < 5000) return;
  if (connectError?.code !== 'ERR_RDMA_UNREACHABLE')
    throw new SimFailure('truth', `client ${number} is blocked, but was told: ${connectError?.stack}`);
  const told = refusals.filter(({ address }) => address === clientIp(plan.host));
  if (!told.some(({ kind }) => kind === 'unreachable'))
    throw new SimFailure(
      'truth',
      `client ${number} is blocked, but its server was told ${JSON.stringify(told)}`,
    );
  marks.hit(`blocked: ${blocked.direction}`);
}

/** Who gives up a brief connection tells its peer why, where nothing fails and the peer does nothing of its own. */
function verifyTold(world: World, course: Course): void {
  const { scenario, marks } = world;
  const { loss, reorder } = scenario.path;
  const isTroubled = scenario.faults.length > 0 || scenario.blocked !== null || loss > 0 || reorder > 0;
  if (isTroubled || mayBreakLinks(course) || mayBreakRules(world, course)) return;
  for (const side of SIDES) {
    const [own, peer] = [course.programs[side], course.programs[otherSide(side)]];
    if (own?.abortedBriefly !== true || peer === null || peer.hasLeftFirst) continue;
    const error = peer.end?.error;
    if (error?.message.endsWith('ended the connection (aborted)') !== true)
      throw new SimFailure('truth', `${own.name} was aborted, but ${peer.name} ended with ${error?.stack}`);
    marks.hit(`${otherSide(side)} was told of an abort over the link`);
  }
}

/** All is closed: at most the sockets that wait for their peer have a timer, each one. */
export function verifyTimers({ time, tls }: World): void {
  const [timer] = time.timers;
  if (time.timerCount > tls.connections.size)
    throw new SimFailure('left over', `${time.timerCount} timers run on, one of them ${timer?.run}`);
}

function verifyNothingLeft(world: World): void {
  const { time, tls } = world;
  const [timer] = time.timers;
  if (timer !== undefined)
    throw new SimFailure('left over', `${time.timers.length} timers, one of which runs ${timer.run}`);
  if (tls.connections.size > 0) throw new SimFailure('left over', `${tls.connections.size} TCP connections`);
  const hosts = [...world.servers.map(({ host }) => host), ...world.clients.values()];
  for (const { ip, device } of hosts) {
    const census = Object.entries(device.device.census()).filter(([, count]) => count > 0);
    if (census.length > 0)
      throw new SimFailure('left over', `at ${ip}: ${census.map(([kind, count]) => `${count} ${kind}`)}`);
  }
  for (const { server } of world.servers) {
    const { slots, controlChannels } = server.census();
    if (slots > 0 || controlChannels > 0)
      throw new SimFailure('left over', `${slots} slots, ${controlChannels} control channels of a server`);
  }
}
