/**
 * The functions of the addon for devices of the operating system (native/ibverbs/). Objects are integers from 1 on.
 *
 * Control verbs resolve with a handle, or 0 where there is nothing to name, and with a negative errno on failure; other
 * results are written into the array that was passed. Every function returns `undefined` for arguments of wrong types
 * and for handles that name nothing, and then does nothing.
 */
export interface VerbsAddon {
  /** Whether the addon was built with libibverbs's header. Nothing else exists otherwise. */
  readonly available: boolean;
  /** Loads the library, once for the process. `null`, or why it cannot be used. */
  load(path: string): string | null;
  list(): Promise<string[] | number>;
  /** `onEvent` gets `ibv_event_type` and the handle, or the number of the port, that the event is about. */
  open(name: string, onEvent: (type: number, subject: number) => void): Promise<number>;
  queryDevice(device: number, out: Float64Array): Promise<number>;
  queryPort(device: number, port: number, out: Float64Array): Promise<number>;
  /** Resolves with the count: 16 bytes each in `gids`; index, port, type and network interface in `facts`. */
  queryGids(device: number, gids: Uint8Array, facts: Float64Array): Promise<number>;
  allocPd(device: number): Promise<number>;
  /** Address of the bytes in this process, lkey, rkey. Keeps the buffer until the region is closed. */
  regMr(pd: number, bytes: Uint8Array, access: number, out: Float64Array): Promise<number>;
  createChannel(device: number, onEvent: (cq: number) => void): Promise<number>;
  /** The capacity that was granted. `channel` 0 is none. */
  createCq(device: number, capacity: number, channel: number, out: Float64Array): Promise<number>;
  /** `sizes`: requests and SGEs, wanted and then granted. */
  createSrq(pd: number, sizes: Float64Array): Promise<number>;
  setSrqLimit(srq: number, limit: number): Promise<number>;
  allocMw(pd: number, out: Float64Array): Promise<number>;
  /** `places` as in attribute-array.ts. `srq` 0 is none. */
  createQp(
    pd: number,
    type: number,
    sendCq: number,
    recvCq: number,
    srq: number,
    signalAll: number,
    places: Float64Array,
  ): Promise<number>;
  modifyQp(qp: number, mask: number, places: Float64Array): Promise<number>;
  queryQp(qp: number, mask: number, places: Float64Array): Promise<number>;
  createAh(pd: number, places: Float64Array): Promise<number>;
  /** Destroys any object. */
  close(handle: number): Promise<number>;

  /**
   * The memory that the functions below take their arguments from and put their results into, as laid out in
   * request-buffer.ts. Returns its address.
   */
  useBuffer(bytes: Uint8Array): number | undefined;
  postSend(): void;
  postRecv(): void;
  postSrqRecv(): void;
  pollCq(): void;
  reqNotify(): void;
}
