/** Capacities of queue pairs: defaults, and what a device's attributes allow. */
import type { DeviceAttributes } from './device.js';
import { usageError } from './errors.js';
import type { QpCapacity } from './qp-attributes.js';

const DEFAULTS: QpCapacity = {
  maxSendWr: 128,
  maxRecvWr: 128,
  maxSendSge: 16,
  maxRecvSge: 16,
  maxInlineData: 256,
};

const NAMES = Object.keys(DEFAULTS) as readonly (keyof QpCapacity)[];

/**
 * What to create a queue pair with. Defaults shrink to what the device has; what was asked for does not.
 *
 * @throws RdmaError ERR_RDMA_INVALID_ARGUMENT, naming the capacity and the limit.
 */
export function resolveCapacity(
  wanted: Partial<QpCapacity>,
  attributes: DeviceAttributes,
): Readonly<QpCapacity> {
  const { maxQpWr, maxSge, maxInlineData } = attributes;
  const resolve = (name: keyof QpCapacity, min: number, max: number): number => {
    const value = wanted[name] ?? Math.min(DEFAULTS[name], max);
    checkCount(name, value, min, max);
    return value;
  };
  const resolved = {
    maxSendWr: resolve('maxSendWr', 1, maxQpWr),
    maxRecvWr: resolve('maxRecvWr', 0, maxQpWr),
    maxSendSge: resolve('maxSendSge', 0, maxSge),
    maxRecvSge: resolve('maxRecvSge', 0, maxSge),
    maxInlineData: resolve('maxInlineData', 0, maxInlineData),
  };
  if (!isSame(resolved, last)) last = resolved;
  return last;
}

/** That of the queue pair before: thousands of them have the same. */
let last: Readonly<QpCapacity> = DEFAULTS;

const isSame = (one: Readonly<QpCapacity>, other: Readonly<QpCapacity>): boolean =>
  NAMES.every((name) => one[name] === other[name]);

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT unless `value` is an integer from `min` to `max`. */
export function checkCount(name: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw usageError(`${name} must be an integer from ${min} to ${max}, not ${value}`);
  }
}
