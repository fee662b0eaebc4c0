/**
 * What a peer of the rsocket protocol can do wrong: the names under which it is counted, and which an error carries. Each
 * ends the connection, or keeps it from beginning, and has no other effect.
 */

export const RsocketFault = {
  /** Private data is shorter than 40 bytes. */
  SHORT_PRIVATE_DATA: 'short_private_data',
  BAD_VERSION: 'bad_version',
  /** The table for announcements has fewer than two entries, so that there is no place for the first one. */
  TABLE_TOO_SMALL: 'table_too_small',
  /** The tables reach beyond the addresses that a number holds. */
  TABLE_OUT_OF_RANGE: 'table_out_of_range',
  /** A receive buffer reaches beyond the addresses that a number holds. */
  BUFFER_OUT_OF_RANGE: 'buffer_out_of_range',
  /** A receive buffer of no bytes. */
  EMPTY_BUFFER: 'empty_buffer',
  /** Something else than a write with immediate data. */
  NOT_A_WRITE: 'not_a_write',
  RESERVED_KIND: 'reserved_kind',
  UNKNOWN_CONTROL: 'unknown_control',
  /** The immediate names another length than what was written. */
  LENGTH_DIFFERS: 'length_differs',
  EMPTY_DATA: 'empty_data',
  /** More data than was announced, or data across the border of a half. */
  BEYOND_HALF: 'beyond_half',
  NO_CREDIT: 'no_credit',
  DATA_AFTER_END: 'data_after_end',
  /** An announcement that is neither an entry nor nothing. */
  BAD_ANNOUNCEMENT: 'bad_announcement',
  /** An announcement while its place in the table is in use. */
  EARLY_ANNOUNCEMENT: 'early_announcement',
  IOMAP_INDEX: 'iomap_index',
  BAD_IOMAP_ENTRY: 'bad_iomap_entry',
  /** Its device refuses writes into memory that it has announced. Programs see a connection that is lost. */
  REFUSED_WRITE: 'refused_write',
} as const;
export type RsocketFault = (typeof RsocketFault)[keyof typeof RsocketFault];
