/**
 * The audit of a server as a file: one JSON record a line, appended, readable by its owner alone. A record is in the file
 * before whatever it is about goes on, so that a crash loses none.
 */
import { appendFileSync, closeSync, openSync } from 'node:fs';
import type { AuditListener } from '../connection/options/audit-record.js';
import { usageError } from '../verbs/errors.js';
import { why } from './copy/place-error.js';

const OWNER_ONLY = 0o600;

/** @throws RdmaError ERR_RDMA_INVALID_ARGUMENT when the file cannot be written. */
export function auditTo(path: string): AuditListener {
  try {
    closeSync(openSync(path, 'a', OWNER_ONLY));
  } catch (error) {
    throw usageError(`cannot write the audit: the file ${path} ${why(error)}`);
  }
  return (record) => appendFileSync(path, `${JSON.stringify(record)}\n`, { mode: OWNER_ONLY });
}
