/** Spans of OpenTelemetry, with its API and an SDK as programs have them. */
import assert from 'node:assert/strict';
import { hasSubscribers } from 'node:diagnostics_channel';
import { test } from 'node:test';
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { optionalPackage } from '../../src/observe/optional-package.js';
import { traceOperations } from '../../src/observe/tracing.js';
import { connectTo, serverIsEmpty, startServer } from '../../testkit/session-pair.js';

test('connect, send, write and read are spans below the one in whose context they were called', async () => {
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  trace.setGlobalTracerProvider(provider);
  const stop = await traceOperations();
  const server = await startServer(async (connection) => {
    for await (const _ of connection);
  });

  const before = Date.now();
  await trace.getTracer('program').startActiveSpan('request', async (span) => {
    const client = await connectTo(server);
    const remote = client.remoteBuffer ?? assert.fail('the server lends memory');
    await Promise.all([client.send('hello'), client.write(remote, Buffer.alloc(100))]);
    await assert.rejects(client.read(remote, -1));
    await client.close();
    span.end();
  });
  await serverIsEmpty(server);

  const spans = exporter.getFinishedSpans();
  const request = spans.find(({ name }) => name === 'request');
  const own = spans.filter(({ name }) => name.startsWith('queuepair '));
  assert.deepEqual(own.map(({ name }) => name).sort(), [
    'queuepair connect',
    'queuepair read',
    'queuepair send',
    'queuepair write',
  ]);
  for (const { name, parentSpanContext, attributes, startTime, duration } of own) {
    assert.equal(parentSpanContext?.spanId, request?.spanContext().spanId, name);
    assert.equal(attributes['server.address'], '127.0.0.1');
    assert.equal(attributes['server.port'], server.address.port);
    assert.equal(attributes['queuepair.side'], 'client');
    // Clocks of different kinds agree within a second.
    assert.ok(Math.abs((startTime[0] ?? 0) * 1000 - before) < 20_000, `${name} began at ${startTime}`);
    assert.ok((duration[0] ?? -1) >= 0);
  }
  const send = own.find(({ name }) => name === 'queuepair send');
  assert.deepEqual([send?.kind, send?.attributes['queuepair.bytes']], [SpanKind.PRODUCER, 5]);
  const read = own.find(({ name }) => name === 'queuepair read');
  assert.deepEqual(
    [read?.status.code, read?.attributes['error.type']],
    [SpanStatusCode.ERROR, 'ERR_RDMA_INVALID_ARGUMENT'],
  );
  stop();
  assert.equal(hasSubscribers('queuepair:operation'), false);
  await server.close();
});

test('a package that is not installed is named, with what to do; one that does not load says why', async () => {
  const name = 'queuepair-has-no-such-package';
  await assert.rejects(
    optionalPackage(name, 'serverMetrics', () => import(name as string)),
    {
      code: 'ERR_RDMA_NOT_SUPPORTED',
      message: `serverMetrics needs the package ${name}: npm install ${name}`,
    },
  );
  await assert.rejects(
    optionalPackage('prom-client', 'serverMetrics', () => import(name as string)),
    {
      message:
        /^serverMetrics cannot load the package prom-client: Cannot find package 'queuepair-has-no-such-package'/,
    },
  );
});
