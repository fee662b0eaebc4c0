/** The counters that the kernel keeps for a device, out of sysfs. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const SYSFS_FOLDER = '/sys/class/infiniband';

/** Sums over all ports, by the names of the driver's files; empty where there are none. */
export function portCounters(device: string, sysfs = SYSFS_FOLDER): Record<string, number> {
  const counters: Record<string, number> = {};
  const ports = join(sysfs, device, 'ports');
  for (const port of list(ports)) {
    for (const folder of ['counters', 'hw_counters']) {
      for (const name of list(join(ports, port, folder))) {
        const value = read(join(ports, port, folder, name));
        // Not a counter, though it lies among them: how long values may be kept.
        if (value !== undefined && name !== 'lifespan') counters[name] = (counters[name] ?? 0) + value;
      }
    }
  }
  return counters;
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Drivers list counters that they then refuse to read. */
function read(path: string): number | undefined {
  try {
    const text = readFileSync(path, 'utf8').trim();
    return /^\d+$/.test(text) ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}
