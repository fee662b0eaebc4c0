/** Looks at this machine: addon, libibverbs, locked memory, device, addresses. */
import { readFile, realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import { type DeviceKind, lookAround, nativeParts, openDevice } from '../../open-device.js';
import type { Device } from '../../verbs/device.js';
import { RdmaError } from '../../verbs/errors.js';
import { formatBytes } from '../format.js';
import { type Finding, ok, problem, skipped, warning } from './finding.js';

const STANDARD_UDP_PORT = 4791;
/** Queue pairs of an RNIC lock less than that; memory comes on top. */
const MIN_MEMLOCK_BYTES = 1024 * 1024;
const RNIC_KIND = 'ibverbs';

export function checkAddon(): Finding {
  const { addon, isChosen, crc32 } = nativeParts();
  if (addon !== null) {
    const slow = 'soft devices run over node:dgram, which is slower, and RNICs cannot be used';
    if (isChosen)
      return problem(
        'addon',
        'addon-wrong',
        `${addon}; ${slow}`,
        'unset QUEUEPAIR_ADDON, or let it name a file that was built for this machine',
      );
    return warning(
      'addon',
      'addon-missing',
      `${addon}; ${slow}`,
      'install a C++ compiler, make and Python 3, and install the package again',
    );
  }
  const text = `loaded; checksums by ${crc32}`;
  if (crc32 !== 'tables') return ok('addon', text);
  return warning(
    'addon',
    'addon-slow',
    text,
    'this processor has no carry-less multiplication: large packets cost more',
  );
}

export async function checkLibrary(kinds: readonly DeviceKind[]): Promise<Finding> {
  const rnics = kinds.find(({ kind }) => kind === RNIC_KIND);
  if (rnics === undefined) return skipped('library', 'this build knows no RNICs');
  if (rnics.missing !== undefined)
    return warning(
      'library',
      'library-missing',
      rnics.missing,
      'for RNICs only; soft devices need none of it',
    );
  const version = await libraryVersion();
  const names = rnics.names.length === 0 ? 'no RDMA devices' : rnics.names.join(', ');
  return ok('library', `libibverbs${version}, ${names}`);
}

/** By the name of the file that this process has in memory: libibverbs.so.1.14.44.0. */
async function libraryVersion(): Promise<string> {
  try {
    const maps = await readFile('/proc/self/maps', 'utf8');
    const path = /\s(\/\S*libibverbs\.so\S*)/.exec(maps)?.[1];
    if (path === undefined) return '';
    return ` ${basename(await realpath(path)).replace(/^libibverbs\.so\.?/, '')}`;
  } catch {
    return '';
  }
}

/** `hasRnics`: then it matters here. */
export async function checkMemlock(hasRnics: boolean): Promise<Finding> {
  let limits: string;
  try {
    limits = await readFile('/proc/self/limits', 'utf8');
  } catch {
    return skipped('memlock', 'this system does not tell how much memory may be locked');
  }
  const soft = /^Max locked memory\s+(\S+)/m.exec(limits)?.[1] ?? '';
  if (soft === 'unlimited') return ok('memlock', 'memory may be locked without limit');
  const bytes = Number(soft);
  const text = `${formatBytes(bytes)} of memory may be locked`;
  if (bytes >= MIN_MEMLOCK_BYTES) return ok('memlock', text);
  const level = hasRnics ? problem : warning;
  return level(
    'memlock',
    'memlock-low',
    `only ${text}: RNICs register memory by locking it`,
    'raise it: ulimit -l unlimited, LimitMEMLOCK=infinity of a systemd unit, --ulimit memlock=-1 of a container',
  );
}

export async function checkDevice(name: string, near: string | undefined): Promise<Finding[]> {
  let device: Device;
  try {
    device = await openDevice(name, near === undefined ? {} : { near });
  } catch (error) {
    if (!(error instanceof RdmaError)) throw error;
    return [deviceProblem(error)];
  }
  try {
    return await inspect(device, name);
  } finally {
    await device.close();
  }
}

function deviceProblem(error: RdmaError): Finding {
  const { code, message } = error;
  const system = (error.cause as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'ERR_RDMA_ADDRESS' && system === 'EADDRINUSE')
    return problem(
      'device',
      'udp-port-taken',
      message,
      'end the program that has the port (ss -ulpn), or use another address or port',
    );
  if (code === 'ERR_RDMA_ADDRESS')
    return problem(
      'device',
      'address-not-here',
      message,
      'name an address of this machine (ip address), or leave it out',
    );
  if (code === 'ERR_RDMA_NO_DEVICE' || code === 'ERR_RDMA_NO_LIBRARY')
    return problem(
      'device',
      'device-missing',
      message,
      'queuepair devices lists those that there are; soft works everywhere',
    );
  return problem('device', 'device-failed', message, 'see what the kernel says about it (dmesg)');
}

async function inspect(device: Device, name: string): Promise<Finding[]> {
  const port = await device.queryPort();
  const gids = (await device.queryGids()).filter(({ type }) => type === 'RoCE v2');
  const findings: Finding[] = [];
  const about = `${device.name}, UDP port ${port.udpPort}, path MTU ${port.activeMtu}`;
  if (port.state !== 'ACTIVE') {
    findings.push(
      problem(
        'device',
        'port-down',
        `${about}: its port is ${port.state}`,
        'bring its network interface up (ip link set … up) and look at the cable',
      ),
    );
  } else if (port.udpPort !== STANDARD_UDP_PORT && !name.includes('port=')) {
    findings.push(
      warning(
        'device',
        'udp-port-taken',
        `${about}: another program has port ${STANDARD_UDP_PORT}`,
        'only soft devices reach it at another port; end that program (ss -ulpn) for RNICs and stock tools',
      ),
    );
  } else findings.push(ok('device', about));
  const [first] = gids;
  findings.push(
    first === undefined
      ? problem(
          'gid',
          'gid-missing',
          `${device.name} has no GID for RoCE v2`,
          'give its network interface an IP address',
        )
      : ok('gid', `${first.gid} (${first.type}), ${gids.length} in all`),
  );
  if (!port.exactIcrc)
    findings.push(
      warning(
        'icrc',
        'packets-inexact',
        'packets of this device have an ICRC that RNICs and Linux rdma_rxe drop',
        'use the native addon, or an IPv6 address',
      ),
    );
  return findings;
}

export const kindsHere = lookAround;
