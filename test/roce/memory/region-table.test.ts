/** Registered memory: what ends with a region or a queue pair, and what that costs when there is much of others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Region, RemoteGrant } from '../../../src/roce/memory/region.js';
import { RegionTable } from '../../../src/roce/memory/region-table.js';
import { AccessFlags } from '../../../src/verbs/access-flags.js';
import { Random } from '../../../testkit/random.js';

const MANY = 10_000;
const ACCESS = AccessFlags.LOCAL_WRITE | AccessFlags.REMOTE_WRITE;

/** A table with many regions, each with its own key and a window of a queue pair, and a count of looks at the grants. */
function crowdedTable(): {
  table: RegionTable;
  regions: Region[];
  windows: RemoteGrant[];
  looks: () => number;
} {
  const table = new RegionTable(new Random(1).u32);
  const regions: Region[] = [];
  const windows: RemoteGrant[] = [];
  let looks = 0;
  const watch = (grant: RemoteGrant): void => {
    for (const name of ['region', 'qpn'] as const) {
      const value = grant[name];
      const get = (): Region | number => {
        looks++;
        return value;
      };
      Object.defineProperty(grant, name, { get });
    }
  };
  for (let i = 0; i < MANY; i++) {
    const { region, grant } = table.register(new Uint8Array(8), ACCESS, 1);
    const window = new RemoteGrant(table.reserveKey(), region, region.va, 8, ACCESS, 100 + i);
    table.addGrant(window);
    watch(grant as RemoteGrant);
    watch(window);
    regions.push(region);
    windows.push(window);
  }
  looks = 0;
  return { table, regions, windows, looks: () => looks };
}

test('a deregistration ends the key and the windows of its region, and looks at no others', () => {
  const { table, regions, windows, looks } = crowdedTable();
  const [region, window] = [regions[5] as Region, windows[5] as RemoteGrant];
  table.deregister(region);
  assert.ok(looks() < 20, `${looks()} looks at grants`);
  assert.equal(window.valid, false);
  assert.equal(table.findGrant(window.rkey), undefined);
  assert.equal(region.usable, false);
  assert.ok(windows.every((other) => other === window || table.findGrant(other.rkey) === other));
});

test('the windows of a queue pair end with it, and no others are looked at', () => {
  const { table, windows, looks } = crowdedTable();
  const window = windows[7] as RemoteGrant;
  table.revokeAllOf(107);
  assert.ok(looks() < 20, `${looks()} looks at grants`);
  assert.equal(window.valid, false);
  assert.equal(table.findGrant(window.rkey), undefined);
  assert.ok(windows.every((other) => other === window || table.findGrant(other.rkey) === other));
});

test('a window that was revoked does not come back with its region or queue pair', () => {
  const { table, regions, windows } = crowdedTable();
  const window = windows[3] as RemoteGrant;
  table.revoke(window);
  assert.equal(regions[3]?.grants?.has(window), false);
  table.revokeAllOf(103);
  table.deregister(regions[3] as Region);
  assert.equal(table.findGrant(window.rkey), undefined);
});
