/** How much a NIC's shared receive queue must hold for all connections of a scenario that use it. */
import { receiveCapacity } from './generate-epochs.js';
import { needsReceive, type Scenario, type Side } from './scenario.js';

function* sharedSides(scenario: Scenario, nic: number): Generator<[Scenario['connections'][number], Side]> {
  for (const connection of scenario.connections) {
    if (!connection.srq) continue;
    for (const side of [0, 1] as const) if (connection.nics[side] === nic) yield [connection, side];
  }
}

export function sharedReceiveBytes(scenario: Scenario, nic: number): number {
  let longest = 0;
  for (const [connection, side] of sharedSides(scenario, nic)) {
    for (const epoch of connection.epochs) longest = Math.max(longest, receiveCapacity(epoch, side));
  }
  return longest;
}

export function sharedReceiveCount(scenario: Scenario, nic: number): number {
  let count = 0;
  for (const [connection, side] of sharedSides(scenario, nic)) {
    for (const epoch of connection.epochs) {
      count += epoch.operations.filter(
        (operation) => operation.side !== side && needsReceive(operation),
      ).length;
    }
  }
  return count;
}
