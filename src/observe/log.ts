/**
 * The log: one JSON object a line on standard error, for machines that collect logs.
 *
 * Invariant: no PSN, key or payload gets into a line. Fields whose names say that they hold one, bytes of any kind and
 * PEM blocks are replaced wherever they stand in what is logged; PSNs and keys must never be put into message texts.
 */
import pino, { type DestinationStream, type Logger } from 'pino';

export type { Logger } from 'pino';

export const LOG_LEVELS = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LogOptions {
  /** Default `info`. */
  readonly level?: LogLevel;
  /** Default: standard error. */
  readonly destination?: DestinationStream;
}

export const REDACTED = '[redacted]';

/** Ends of field names: `psn`, `rqPsn`, `rkey`, `keyPem`, `privateKey`. */
const SECRET_NAME = /(psn|key|keypem|secret|password|passphrase|token|payload)$/i;
/** Whole field names that hold what a peer sent or is sent. */
const PAYLOAD_NAMES = new Set(['data', 'buffer', 'text', 'welcome']);
const PEM_BLOCK = /-----BEGIN [A-Z ]+-----[\s\S]*?(-----END [A-Z ]+-----|$)/g;
/** Deeper objects are cut off, so that a cycle or a huge object cannot hurt. */
const MAX_DEPTH = 6;

export function createLogger(options: LogOptions = {}): Logger {
  const logger = pino(
    {
      name: 'queuepair',
      level: options.level ?? 'info',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        bindings: (bindings) => redactFields(bindings, 0),
        log: (fields) => redactFields(fields, 0),
      },
      // Errors were made plain by then: what their classes carry beyond that stays out.
      serializers: { err: (error: unknown) => error },
      hooks: {
        logMethod(args, method) {
          const safe = args.map((arg) => (typeof arg === 'string' ? redactText(arg) : arg));
          method.apply(this, safe as typeof args);
        },
      },
    },
    options.destination ?? pino.destination({ dest: 2, sync: true }),
  );
  // The formatter of bindings is for the first logger alone; its children inherit this.
  const { child } = logger;
  logger.child = function safeChild(this: Logger, bindings: object, childOptions?: object) {
    return child.call(this, redactFields({ ...bindings }, 0), childOptions);
  } as typeof child;
  return logger;
}

/** A copy of `value` that is fit for a log. */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) {
    return `[${value.byteLength} bytes]`;
  }
  if (depth >= MAX_DEPTH) return '[cut off]';
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1));
  if (value instanceof Error) return redactError(value, depth);
  return redactFields(value as Record<string, unknown>, depth);
}

function redactFields(fields: Readonly<Record<string, unknown>>, depth: number): Record<string, unknown> {
  const safe: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    const secret = SECRET_NAME.test(name) || PAYLOAD_NAMES.has(name);
    safe[name] = secret && value !== undefined && value !== null ? REDACTED : redact(value, depth + 1);
  }
  return safe;
}

function redactError(error: Error, depth: number): Record<string, unknown> {
  const { code, status } = error as Error & { code?: unknown; status?: unknown };
  return {
    type: error.name,
    ...(typeof code === 'string' ? { code } : {}),
    ...(typeof status === 'string' ? { status } : {}),
    message: redactText(error.message),
    ...(error.cause === undefined ? {} : { cause: redact(error.cause, depth + 1) }),
  };
}

const redactText = (text: string): string => text.replace(PEM_BLOCK, REDACTED);
