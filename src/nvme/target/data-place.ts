/** Whether a command's descriptor names the right place and size for its data. */
import { type Command, SGL_FLAGS } from '../wire/command.js';
import { SglType } from '../wire/sgl.js';
import { Status } from '../wire/status.js';

/** Data to the host, exactly `length` bytes, which only memory of the host can take. */
export function hostDataStatus({ sgl, hasKnownSgl, flags }: Command, length: number): number {
  if (flags !== SGL_FLAGS) return Status.INVALID_FIELD;
  if (!hasKnownSgl || sgl.type === SglType.IN_CAPSULE) return Status.SGL_TYPE_INVALID;
  return sgl.length === length ? Status.SUCCESS : Status.SGL_DATA_LENGTH_INVALID;
}

/** Data from the host, `length` bytes or more; `inCapsule` lie behind the command. */
export function deviceDataStatus(
  { sgl, hasKnownSgl, flags }: Command,
  length: number,
  inCapsule: number,
): number {
  if (flags !== SGL_FLAGS) return Status.INVALID_FIELD;
  if (!hasKnownSgl) return Status.SGL_TYPE_INVALID;
  if (sgl.type === SglType.IN_CAPSULE && sgl.offset + sgl.length > inCapsule)
    return Status.SGL_OFFSET_INVALID;
  return sgl.length >= length ? Status.SUCCESS : Status.SGL_DATA_LENGTH_INVALID;
}
