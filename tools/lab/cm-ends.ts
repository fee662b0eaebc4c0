/** Where our end of a meeting is, and what starts it there. */
import type { Machine } from './machine.js';
import { HERE, type IpVersion, THERE } from './network.js';
import { type ProgramArguments, type Running, startPlayer, startPlayerThere } from './programs.js';
import { softDeviceName } from './soft-device.js';

export const PLACES = ['soft', 'rxe'] as const;
export type Place = (typeof PLACES)[number];

/** @throws SkipCase where there is no such device. */
export const deviceName = async (place: Place, ip: IpVersion): Promise<string> =>
  place === 'soft' ? softDeviceName(ip) : 'rxe0';

export const hostOf = (place: Place, ip: IpVersion): string => (place === 'soft' ? HERE[ip] : THERE[ip]);

export const startPlayerAt = (machine: Machine, place: Place, args: ProgramArguments): Running =>
  place === 'soft' ? startPlayer(args) : startPlayerThere(machine, args);

/** A failed case leaves nobody behind who holds a port that the next one needs. */
export async function orKill<T>(
  programs: readonly { kill(): Promise<unknown> }[],
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    for (const program of programs) await program.kill().catch(() => {});
    throw error;
  }
}
