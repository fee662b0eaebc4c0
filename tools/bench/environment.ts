/** What the numbers depend on besides the code. */
import { arch, availableParallelism, cpus, loadavg, release, type } from 'node:os';
import { packageVersion } from '../../src/cli/package-root.js';
import type { DataPath } from './data-path.js';
import { libfabricMissing, libfabricVersion } from './libfabric.js';
import { ucxMissing, ucxVersion } from './ucx.js';
import type { UdpFloor } from './udp-floor.js';

export interface Environment {
  readonly queuepair: string;
  /** The UDP port of soft devices. */
  readonly dataPath: DataPath['kind'];
  readonly cpu: string;
  readonly cores: number;
  /** Load average of the last minute, before the run: above a few tenths, the numbers are worth little. */
  readonly load: number;
  readonly kernel: string;
  readonly node: string;
  readonly ucx: string;
  readonly libfabric: string;
  readonly udpFloor: string;
}

const UNKNOWN = 'unknown version';

export function describeEnvironment(dataPath: DataPath, floor: UdpFloor): Environment {
  return {
    queuepair: packageVersion(),
    dataPath: dataPath.kind,
    cpu: cpus()[0]?.model ?? arch(),
    cores: availableParallelism(),
    load: Math.round((loadavg()[0] ?? 0) * 100) / 100,
    kernel: `${type()} ${release()}`,
    node: process.versions.node,
    ucx: ucxMissing() ?? ucxVersion() ?? UNKNOWN,
    libfabric: libfabricMissing() ?? libfabricVersion() ?? UNKNOWN,
    udpFloor: 'missing' in floor ? floor.missing : 'compiled here',
  };
}
