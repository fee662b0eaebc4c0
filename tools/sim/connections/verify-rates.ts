/** Whether identities stay within the rates of their server, whatever happens to their links and to the server. */
import { SimFailure } from '../failure.js';
import type { Course, World } from './world.js';

const DIRECTIONS = ['fromClient', 'toClient'] as const;
/** Receives that each link begins with. */
const FIRST_RECEIVES = 2;

/** Messages alone are counted, and those that programs have taken: less than what counts. */
export function verifyRates({ courses, scenario, servers, time, beganAt }: World): void {
  const { rates, server } = scenario;
  if (rates === null) return;
  const seconds = (time.now - beganAt) / 1000;
  for (const course of courses) {
    // What it had been told of before its debt, and what it is told of with each link.
    const links = 2 + (course.programs.server?.recoveries ?? 0);
    const ahead = (server.receiveSlots + links * FIRST_RECEIVES) * server.slotBytes;
    for (const direction of DIRECTIONS) {
      const { bytesPerSecond, burstBytes } = rates[direction];
      const most = seconds * bytesPerSecond + servers.length * burstBytes + ahead;
      const bytes = takenOf(course, direction);
      if (bytes > most) {
        const what = `${bytes} bytes ${direction} in ${seconds} s, ${most} at most`;
        throw new SimFailure('rates', `client ${course.number}: ${what}`);
      }
    }
  }
}

const takenOf = ({ programs }: Course, direction: (typeof DIRECTIONS)[number]): number => {
  const program = direction === 'fromClient' ? programs.server : programs.client;
  return program?.connection?.statistics.bytesReceived ?? 0;
};

/** A run in which nobody had to wait shows nothing. */
export function markRates({ servers, marks }: World): void {
  for (const { server } of servers)
    for (const direction of DIRECTIONS)
      if (server.rates[direction].times > 0) marks.hit(`rates: ${direction} had to wait`);
}
