/** What a packet may change and a response may show, said once more and independently of the engine's own checks. */
import type { Region } from '../../../../src/roce/memory/region.js';
import { OpcodeFlag } from '../../../../src/roce/wire/opcodes.js';
import { AccessFlags } from '../../../../src/verbs/access-flags.js';
import { type Zone, ZoneKind } from './memory-map.js';
import { type KnownQp, type KnownRegion, type KnownWindow, OTHER_DOMAIN, PD, type World } from './world.js';

/** Whether a packet with these flags, taken by the queue pair `index`, may change the zone. */
export function mayChange(world: World, index: number, flags: number, zone: Zone): boolean {
  const { qp } = world.qps[index] as KnownQp;
  const isRequest = (flags & OpcodeFlag.REQUEST) !== 0;
  switch (zone.kind) {
    case ZoneKind.RECEIVE:
      return isRequest && (flags & OpcodeFlag.SEND) !== 0 && qp.pd === PD;
    case ZoneKind.TARGET:
      return !isRequest && (flags & (OpcodeFlag.READ | OpcodeFlag.ATOMIC)) !== 0 && qp.pd === PD;
    case ZoneKind.GRANT: {
      const { region, dead } = world.regions[zone.index] as KnownRegion;
      const right = rightToChange(flags);
      const isAllowed = right !== 0 && (region.access & right) !== 0 && (qp.accessFlags & right) !== 0;
      if (dead || region.pd !== qp.pd) return false;
      return (isRequest && isAllowed) || (zone.index === OTHER_DOMAIN && fillsOwnMemory(flags));
    }
    case ZoneKind.WINDOW: {
      const { window, owner } = world.windows[zone.index] as KnownWindow;
      const right = rightToChange(flags);
      const isOpen = window.grant?.valid === true && (window.grant.access & right) !== 0;
      return isRequest && right !== 0 && isOpen && owner === index && (qp.accessFlags & right) !== 0;
    }
    default:
      return false;
  }
}

/** Whether the packet's data goes where the queue pair's own program wants it: into a receive, or where it reads to. */
function fillsOwnMemory(flags: number): boolean {
  if ((flags & OpcodeFlag.REQUEST) !== 0) return (flags & OpcodeFlag.SEND) !== 0;
  return (flags & (OpcodeFlag.READ | OpcodeFlag.ATOMIC)) !== 0;
}

function rightToChange(flags: number): number {
  if ((flags & OpcodeFlag.WRITE) !== 0) return AccessFlags.REMOTE_WRITE;
  return (flags & OpcodeFlag.ATOMIC) !== 0 ? AccessFlags.REMOTE_ATOMIC : 0;
}

/** Whether the queue pair `index` may show these bytes to its peer in a READ response. */
export function mayShow(world: World, index: number, region: Region, from: number, length: number): boolean {
  const { qp, everAccess } = world.qps[index] as KnownQp;
  if ((everAccess & AccessFlags.REMOTE_READ) === 0) return false;
  const known = world.regions.find((candidate) => candidate.region === region);
  if (known === undefined || known.dead || region.pd !== qp.pd) return false;
  const isInside = from >= 0 && from + length <= region.bytes.length;
  if ((region.access & AccessFlags.REMOTE_READ) !== 0) return isInside;
  return world.windows.some((window) => {
    const isOpen = window.owner === index && window.window.grant?.valid === true;
    return (
      region === world.windowHost &&
      isOpen &&
      from >= window.from &&
      from + length <= window.from + window.length
    );
  });
}
