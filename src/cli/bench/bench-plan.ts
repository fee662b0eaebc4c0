/** The measurements that there are, and the message in which a client tells the server which one comes. */
import * as v from 'valibot';
import { RdmaError } from '../../verbs/errors.js';

export const TEST_NAMES = ['send-rtt', 'write-lat', 'read-lat', 'send-bw', 'write-bw', 'read-bw'] as const;
export type TestName = (typeof TEST_NAMES)[number];

export const isLatency = (test: TestName): boolean => !test.endsWith('-bw');

export const MAX_SIZE_BYTES = 4 * 1024 * 1024;
export const MAX_DEPTH = 128;
export const MAX_COUNT = 100_000_000;
/** Room for the messages about a measurement, in front of its data. */
export const CONTROL_BYTES = 256;

const integer = (max: number) => v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(max));

const planSchema = v.strictObject({
  test: v.picklist(TEST_NAMES),
  /** Bytes of one message. */
  size: integer(MAX_SIZE_BYTES),
  /** Messages, those to warm up included. */
  total: integer(2 * MAX_COUNT),
  /** Messages under way at a time. */
  depth: integer(MAX_DEPTH),
});

/** What a server must know. */
export type BenchPlan = v.InferOutput<typeof planSchema>;

export const writePlan = (plan: BenchPlan): Buffer => Buffer.from(JSON.stringify(plan));

/** @throws RdmaError ERR_RDMA_PROTOCOL. */
export function readPlan(bytes: Uint8Array): BenchPlan {
  try {
    return v.parse(planSchema, JSON.parse(Buffer.from(bytes).toString()));
  } catch (cause) {
    throw new RdmaError('ERR_RDMA_PROTOCOL', 'the client asked for a measurement that there is not', {
      cause,
    });
  }
}
