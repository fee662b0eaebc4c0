/**
 * A data plane at the other end of a message port, as if it ran in another thread. Every call, answer and event is plain data
 * that the port has cloned. Memory alone, which both sides use, goes by reference.
 *
 * It is strict: a function, a promise or an instance of a class in what is said fails the call, or ends the process where
 * it is an event.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type {
  DataPlane,
  DataPlaneListener,
  ProgramListener,
  ProgramPlane,
} from '../src/connection/data-path/data-plane.js';
import type { Message, Waiter } from '../src/connection/messages/message-inbox.js';
import { type PlainError, RdmaError } from '../src/verbs/errors.js';

type Planes = DataPlane & ProgramPlane;
type Listeners = DataPlaneListener & ProgramListener;
type Tellable = Partial<Record<string, (...values: unknown[]) => void>>;

interface Call {
  readonly number: number;
  readonly name: keyof Planes;
  readonly values: unknown;
}

type Told =
  | { readonly number: number; readonly value: unknown }
  | { readonly number: number; readonly error: unknown }
  | { readonly event: keyof Listeners; readonly values: unknown };

/** What both sides use: of these calls or of their answers bytes go by reference. */
const CALLS_WITH_MEMORY: readonly (keyof Planes)[] = [
  'send',
  'writeStream',
  'grant',
  'transfer',
  'prepare',
  'allocate',
];

/** Calls that take others back, and what they take back. */
const TAKEN_BACK: Partial<Record<keyof Planes, keyof Planes>> = { withdraw: 'send', forget: 'receive' };

interface Waiting {
  readonly name: keyof Planes;
  readonly request: unknown;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** The side that asks. `plane` may be given to a lifeline and a connection. */
export class PlanePort {
  readonly plane: Planes;
  /** What was asked for, and how often. */
  readonly asked = new Map<string, number>();
  /** What was told without being asked for, and how often. */
  readonly told = new Map<string, number>();
  readonly #port: MessagePort;
  readonly #memory: Memory;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners: { listener: DataPlaneListener | null; programListener: ProgramListener | null } = {
    listener: null,
    programListener: null,
  };
  #last = 0;

  constructor(planes: Planes) {
    const { port1, port2 } = new MessageChannel();
    this.#memory = new Memory();
    serve(planes, port2, this.#memory);
    this.#port = port1;
    port1.on('message', (told: Told) => this.#onTold(told));
    this.plane = new Proxy(this.#listeners, {
      get: (listeners, name) => Reflect.get(listeners, name) ?? this.#caller(name as keyof Planes),
    }) as unknown as Planes;
  }

  /** Calls that nobody has answered or taken back. */
  get unanswered(): readonly string[] {
    return [...this.#waiting.values()].map(({ name }) => name);
  }

  close(): void {
    this.#port.close();
  }

  #caller(name: keyof Planes): (...values: unknown[]) => unknown {
    // It has a waiter instead of a promise.
    if (name === 'receive')
      return (waiter) => {
        const { request } = waiter as Waiter;
        const received = this.#call(name, [request]) as Promise<Message | undefined>;
        received.then(
          (message) => (waiter as Waiter).resolve(message),
          (error: RdmaError) => (waiter as Waiter).reject(error),
        );
      };
    return (...values) => this.#call(name, values);
  }

  #call(name: keyof Planes, values: unknown[]): Promise<unknown> {
    count(this.asked, name);
    const number = ++this.#last;
    return new Promise((resolve, reject) => {
      const memory = CALLS_WITH_MEMORY.includes(name) ? this.#memory : null;
      this.#port.postMessage({ number, name, values: pack(values, memory) } satisfies Call);
      this.#waiting.set(number, { name, request: values[0], resolve, reject });
    });
  }

  #onTold(told: Told): void {
    if ('event' in told) {
      count(this.told, told.event);
      const { listener, programListener } = this.#listeners;
      const values = unpack(told.values, this.#memory) as unknown[];
      for (const one of [listener, programListener] as (Tellable | null)[]) one?.[told.event]?.(...values);
      return;
    }
    const waiting = this.#waiting.get(told.number);
    if (waiting === undefined) throw new Error(`the answer ${told.number} has no call`);
    this.#waiting.delete(told.number);
    if ('error' in told) {
      waiting.reject(unpack(told.error, this.#memory));
      return;
    }
    if (told.value === true) this.#takeBack(TAKEN_BACK[waiting.name], waiting.request);
    waiting.resolve(unpack(told.value, this.#memory));
  }

  /** What was taken back is never answered. */
  #takeBack(name: keyof Planes | undefined, request: unknown): void {
    for (const [number, waiting] of this.#waiting)
      if (waiting.name === name && waiting.request === request) this.#waiting.delete(number);
  }
}

/** The side that answers. */
function serve(planes: Planes, port: MessagePort, memory: Memory): void {
  const tell = (told: Told): void => port.postMessage(told);
  port.on('message', ({ number, name, values }: Call) => {
    const method = planes[name] as (...values: unknown[]) => unknown;
    const run = async (): Promise<unknown> => {
      const unpacked = unpack(values, memory) as unknown[];
      if (name !== 'receive') return method.apply(planes, unpacked);
      const [request] = unpacked as [number];
      return new Promise((resolve, reject) => planes.receive({ request, resolve, reject }));
    };
    run()
      .then((value) => pack(value, CALLS_WITH_MEMORY.includes(name) ? memory : null))
      .then(
        (value) => tell({ number, value }),
        (error: unknown) => tell({ number, error: pack(error, null) }),
      );
  });
  const events = new Proxy(
    {},
    {
      get:
        (_, event) =>
        (...values: unknown[]) =>
          tell({ event: event as keyof Listeners, values: pack(values, null) }),
    },
  ) as Listeners;
  planes.listener = events;
  planes.programListener = events;
}

/** Bytes on their way by reference. */
class Memory {
  readonly #bytes = new Map<number, Uint8Array>();
  #last = 0;

  put(bytes: Uint8Array): number {
    this.#bytes.set(++this.#last, bytes);
    return this.#last;
  }

  take(number: number): Uint8Array {
    const bytes = this.#bytes.get(number);
    if (bytes === undefined) throw new Error(`the memory ${number} is not under way`);
    this.#bytes.delete(number);
    return bytes;
  }
}

/** Marks what is packed, in objects that nothing else looks like. */
const ERROR = 'plane-port: error';
const MEMORY = 'plane-port: memory';

/** @throws Error for what is no plain data. */
function pack(value: unknown, memory: Memory | null): unknown {
  if (value instanceof RdmaError) return { [ERROR]: value.toJSON() };
  if (value instanceof Uint8Array)
    return memory === null ? new Uint8Array(value) : { [MEMORY]: memory.put(value) };
  if (typeof value === 'function' || typeof value === 'symbol')
    throw new Error(`a ${typeof value} crosses the port`);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => pack(item, memory));
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (prototype !== Object.prototype && prototype !== null)
    throw new Error(`an instance of ${(value as object).constructor.name} crosses the port`);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, pack(item, memory)]));
}

function unpack(value: unknown, memory: Memory): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map((item) => unpack(item, memory));
  const entries = Object.entries(value);
  const [first] = entries;
  if (first?.[0] === ERROR) return RdmaError.fromJSON(first[1] as PlainError);
  if (first?.[0] === MEMORY) return memory.take(first[1] as number);
  return Object.fromEntries(entries.map(([key, item]) => [key, unpack(item, memory)]));
}

const count = (counts: Map<string, number>, name: string): void =>
  void counts.set(name, (counts.get(name) ?? 0) + 1);
