/**
 * The functions of the addon for librdmacm (native/rdmacm/). Channels and ids are integers from 1 on.
 *
 * Calls resolve with a handle, or 0 where there is nothing to name, and with a negative errno on failure. Every function
 * returns `undefined` for arguments of wrong types and for handles that name nothing, and then does nothing.
 */
export interface RdmacmAddon {
  /** Whether the addon was built with librdmacm's header. Nothing else exists otherwise. */
  readonly available: boolean;
  /** Loads the library, once for the process. `null`, or why it cannot be used. */
  load(path: string): string | null;
  /** For every event `onEvent` is called once, and must take it. */
  openChannel(onEvent: (type: number, id: number) => void): Promise<number>;
  /** The oldest event: its fields (`CmField`) and its private data. Returns the length of that. */
  takeEvent(channel: number, fields: Float64Array, privateData: Uint8Array): number | undefined;
  /** Destroys the ids that are left, those whose `destroyId` failed with them. */
  closeChannel(channel: number): Promise<number>;

  createId(channel: number, portSpace: number): Promise<number>;
  destroyId(id: number): Promise<number> | undefined;
  /** The name of the id's device; empty while it has none. */
  deviceOf(id: number): string | undefined;
  /** The local address and the peer's, as rdmacm-address.ts has them. */
  addressesOf(id: number, out: Float64Array): number | undefined;
  setOption(id: number, option: number, value: number): Promise<number> | undefined;
  bindAddr(id: number, address: Float64Array): Promise<number> | undefined;
  listen(id: number, backlog: number): Promise<number> | undefined;
  /** A `source` of family 0 is none. */
  resolveAddr(
    id: number,
    source: Float64Array,
    destination: Float64Array,
    timeoutMillis: number,
  ): Promise<number> | undefined;
  resolveRoute(id: number, timeoutMillis: number): Promise<number> | undefined;
  /** What a queue pair needs for its step to `state`, as in attribute-array.ts. Resolves with the mask. */
  initQpAttr(id: number, state: number, places: Float64Array): Promise<number> | undefined;
  /** `parameters`: {@link CM_PARAMETERS} numbers. */
  connect(id: number, parameters: Float64Array, privateData: Uint8Array): Promise<number> | undefined;
  accept(id: number, parameters: Float64Array, privateData: Uint8Array): Promise<number> | undefined;
  establish(id: number): Promise<number> | undefined;
  reject(id: number, privateData: Uint8Array): Promise<number> | undefined;
  disconnect(id: number): Promise<number> | undefined;
  /** The device has seen a packet of the peer. */
  notifyEstablished(id: number): Promise<number> | undefined;
}

/** Fields of an event; the order is that of native/rdmacm/events.cc. */
export const CmField = {
  TYPE: 0,
  STATUS: 1,
  ID: 2,
  /** Of a CONNECT_REQUEST: the id that it came to. */
  LISTENER: 3,
  RESPONDER_RESOURCES: 4,
  INITIATOR_DEPTH: 5,
  FLOW_CONTROL: 6,
  RETRY_COUNT: 7,
  RNR_RETRY_COUNT: 8,
  SRQ: 9,
  QPN: 10,
  QKEY: 11,
  /** Of a datagram service: places as in attribute-array.ts. */
  ADDRESS: 12,
} as const;
export const CM_FIELDS = 45;
/** What an event can bring at most. */
export const CM_PRIVATE_DATA_BYTES = 256;

/** Numbers that connect and accept take; the order is that of native/rdmacm/meetings.cc. */
export const CM_PARAMETERS = 7;

/** `RDMA_OPTION_ID_*`. */
export const CmOption = { TOS: 0, REUSEADDR: 1, AFONLY: 2, ACK_TIMEOUT: 3 } as const;

/** `enum rdma_cm_event_type`. */
export const CmEventType = {
  ADDR_RESOLVED: 0,
  ADDR_ERROR: 1,
  ROUTE_RESOLVED: 2,
  ROUTE_ERROR: 3,
  CONNECT_REQUEST: 4,
  CONNECT_RESPONSE: 5,
  CONNECT_ERROR: 6,
  UNREACHABLE: 7,
  REJECTED: 8,
  ESTABLISHED: 9,
  DISCONNECTED: 10,
  DEVICE_REMOVAL: 11,
} as const;
