/** What must have come of meetings: both ends mean each other, what both want comes up, and in the end nothing is left. */
import { expect } from '../failure.js';
import type { Marks } from '../marks.js';
import type { MeetingPlan, Scenario } from './scenario.js';
import type { End, SimHost } from './sim-host.js';

/** Messages that get lost are repeated often enough below this. */
const BEARABLE_LOSS = 0.2;
const BEARABLE_OUTAGE_MILLIS = 2500;
/** Repetitions need this long to get through. */
const PATIENT_MILLIS = 20_000;

export const mayLose = ({ network, outages }: Scenario): boolean => network.loss > 0 || outages.length > 0;

/** What is accepted is established, unless somebody gives up or there is no room. */
export function verifyMeetings(scenario: Scenario, hosts: readonly SimHost[], marks: Marks): void {
  const { network, outages, restarts, meetings } = scenario;
  if (restarts.length > 0 || network.straggle > 0 || network.loss > BEARABLE_LOSS) return;
  if (outages.length > 1 || outages.some(({ lasts }) => lasts > BEARABLE_OUTAGE_MILLIS)) return;
  if (!hasRoom(scenario)) return;
  for (const [number, plan] of meetings.entries()) {
    if (!isPatient(plan, scenario)) continue;
    const ends = hosts.flatMap((host) => [...host.ends.values()]).filter((end) => end.planNumber === number);
    const isUp = (side: string): boolean => ends.some((end) => end.side === side && end.isEstablished);
    // A DREQ may come before the RTU: the asked side hears of the end alone then.
    const mayMiss =
      plan.enders !== 'passive' && plan.end !== 'vanish' && (mayLose(scenario) || network.jitterMillis > 0);
    const isRight = isUp('active') && (mayMiss || isUp('passive'));
    expect(isRight, 'establishing', () => `meeting ${number} had no trouble that lasts, and did not come up`);
    marks.hit(mayLose(scenario) ? 'patient meeting' : 'calm meeting');
  }
}

function hasRoom(scenario: Scenario): boolean {
  const { backlog, maxHalfOpen, maxHalfOpenOfSource, qpns, meetings, lookups } = scenario;
  const wanted = meetings.length + lookups.length;
  return Math.min(backlog, maxHalfOpen, maxHalfOpenOfSource) >= wanted && qpns >= meetings.length * 3;
}

/** Both programs want it, and have the time that it takes. */
function isPatient(plan: MeetingPlan, scenario: Scenario): boolean {
  const { answerAfter, establishAfter, timeoutMillis, isAccepted, isRefusedByActive, at } = plan;
  if (plan.abortAfter !== null || plan.abortByPassiveAfter !== null) return false;
  if (!isAccepted || isRefusedByActive || answerAfter === null || establishAfter === null) return false;
  const { delayMillis, jitterMillis } = scenario.network;
  const needed = answerAfter + 4 * (delayMillis + jitterMillis) + (mayLose(scenario) ? PATIENT_MILLIS : 0);
  // Then everything is closed.
  return needed < timeoutMillis && at + needed + establishAfter < scenario.healAt;
}

/** Both ends that say established mean each other. Returns whether both do. */
export function verifyAgreement(end: End, hosts: readonly SimHost[]): boolean {
  const other = hosts
    .flatMap(({ ends }) => [...ends.values()])
    .find((one) => one !== end && one.planNumber === end.planNumber && one.isEstablished);
  if (other === undefined) return false;
  const pairs = [
    [end.peerQpn, other.qpn],
    [other.peerQpn, end.qpn],
    [end.psnOut, other.psnIn],
    [other.psnOut, end.psnIn],
  ];
  const isAgreed = pairs.every(([a, b]) => a === b) && end.side !== other.side;
  const what = (): string =>
    `both ends of meeting ${end.planNumber} are established, with ${JSON.stringify(pairs)}`;
  expect(isAgreed, 'agreement', what);
  return true;
}

/** `openLookups`: those of this host's programs that were not settled. */
export function verifyNothingLeft(host: SimHost, openLookups: number): void {
  const { connections, halfOpen, lookups } = host.machine.census;
  const left = `${connections} connections, ${halfOpen} unfinished requests, ${lookups} lookups at host ${host.index}`;
  expect(connections + halfOpen + lookups === 0, 'left over', () => left);
  for (const end of host.ends.values()) {
    const name = host.nameOf(end);
    if (end.side === 'active') expect(end.isReleased, 'left over', () => `${name} was never released`);
    expect(end.isSettled || end.isClosed, 'settling', () => `${name} was never settled`);
  }
  expect(
    openLookups === 0,
    'settling',
    () => `${openLookups} lookups of host ${host.index} were never settled`,
  );
}
