/** Which number of a snapshot shows that a part of a flow ran, and what stands beside it. */
import type { ServerSnapshot } from '../src/observe/server-snapshot.js';
import type { Count, Text } from './flow-shapes.js';
import { microsText, numberText } from './page.js';

export const step =
  (name: string): Count =>
  ({ steps }) =>
    steps[name]?.count ?? 0;
export const refusal =
  (...kinds: readonly string[]): Count =>
  ({ refusals }) =>
    kinds.reduce((total, kind) => total + (refusals[kind] ?? 0), 0);
export const refusals: Count = (snapshot) =>
  Object.values(snapshot.refusals).reduce((total, count) => total + count, 0);
export const counter =
  (...names: readonly string[]): Count =>
  ({ counters }) =>
    names.reduce((total, name) => total + (counters[name] ?? 0), 0);
export const messagesIn: Count = ({ connections }) =>
  connections.reduce((total, { messagesIn: count }) => total + count, 0);
export const messagesOut: Count = ({ connections }) =>
  connections.reduce((total, { messagesOut: count }) => total + count, 0);
export const object =
  (kind: string): Text =>
  ({ objects }) =>
    numberText(objects[kind] ?? 0);
/** On average, from the step before it. */
export const stepTime =
  (name: string): Text =>
  ({ steps }) => {
    const total = steps[name];
    return total === undefined ? '–' : microsText((total.millis / total.count) * 1000);
  };
export const latency = ({ connections }: ServerSnapshot): string => {
  const timed = connections.flatMap((connection) => connection.latency ?? []);
  const [first] = timed.sort((a, b) => b.count - a.count);
  return first === undefined ? '–' : microsText(first.p50);
};
