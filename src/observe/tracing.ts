/**
 * Spans of OpenTelemetry for connecting, sending, reading and writing. `@opentelemetry/api` is the program's: without an SDK that
 * is registered there, spans go nowhere.
 *
 * Invariants: a span is made when its operation has ended, with the time when it began, in the context of who began it; so nothing
 * is kept for operations under way. No PSN, key or payload is in it.
 */
import type { Attributes, Span, SpanKind, Tracer } from '@opentelemetry/api';
import type { ConnectionNote, ErrorNote } from '../connection/program/operation-watch.js';
import { optionalPackage } from './optional-package.js';
import { watch } from './watching.js';

interface Timed extends ConnectionNote {
  readonly startedAtMillis: number;
  readonly durationMillis: number;
  readonly error: ErrorNote | null;
}

/**
 * Makes spans from now on, for all connections of this process; call it after the SDK was registered. Returns the function
 * that ends it.
 *
 * @throws RdmaError ERR_RDMA_NOT_SUPPORTED where `@opentelemetry/api` is not installed.
 */
export async function traceOperations(): Promise<() => void> {
  const load = () => import('@opentelemetry/api');
  const { trace, SpanKind, SpanStatusCode } = await optionalPackage(
    '@opentelemetry/api',
    'traceOperations',
    load,
  );
  const tracer = trace.getTracer('queuepair');
  const finish = (span: Span, { error, ...timed }: Timed): void => {
    if (error !== null) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
      span.setAttribute('error.type', error.code);
    }
    span.end(epochMillis(timed.startedAtMillis + timed.durationMillis));
  };
  const stops = [
    watch('queuepair:connect', (note) =>
      finish(begin(tracer, 'queuepair connect', SpanKind.CLIENT, note, {}), note),
    ),
    watch('queuepair:operation', (note) => {
      const kind = note.kind === 'send' ? SpanKind.PRODUCER : SpanKind.CLIENT;
      const attributes = { 'queuepair.bytes': note.bytes };
      finish(begin(tracer, `queuepair ${note.kind}`, kind, note, attributes), note);
    }),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

function begin(
  tracer: Tracer,
  name: string,
  kind: SpanKind,
  { side, server, connection, startedAtMillis }: Timed,
  more: Attributes,
): Span {
  const at = server.lastIndexOf(':');
  const attributes = {
    'server.address': server.slice(0, at).replace(/^\[|\]$/g, ''),
    'server.port': Number(server.slice(at + 1)),
    'queuepair.side': side,
    'queuepair.connection': connection,
    ...more,
  };
  return tracer.startSpan(name, { kind, startTime: epochMillis(startedAtMillis), attributes });
}

const epochMillis = (millis: number): number => performance.timeOrigin + millis;
