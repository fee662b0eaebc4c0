/**
 * One simulation of connections: a server and its clients, the code that programs use and the embedded device under it,
 * in virtual time over a virtual network and virtual TLS. Faults hit them as the scenario says; then everything heals, the
 * programs come to their end, and nothing may be left.
 */
import { connect } from '../../../src/connection/client/client.js';
import { FIXED_NUMBERS } from '../../../src/connection/common/fixed-numbers.js';
import type { ConnectionStep } from '../../../src/connection/common/steps.js';
import type { Connection } from '../../../src/connection/program/connection.js';
import { listen, type Server } from '../../../src/connection/server/server.js';
import { Icrc } from '../../../src/roce/wire/icrc.js';
import { fastCrc32 } from '../../../src/soft/zlib-crc.js';
import { RdmaError } from '../../../src/verbs/errors.js';
import { installFirstNumbers, installNearPsns } from '../../../testkit/near-wraps.js';
import { Random } from '../../../testkit/random.js';
import { replace } from '../../../testkit/replace.js';
import { hostCertificate, hostKey } from '../../../testkit/virtual-certificate.js';
import { VirtualNetwork } from '../../../testkit/virtual-network.js';
import { VirtualTime } from '../../../testkit/virtual-time.js';
import { VirtualTls } from '../../../testkit/virtual-tls.js';
import { SimFailure } from '../failure.js';
import { Marks } from '../marks.js';
import { EndProgram } from './end-program.js';
import { FaultInjector } from './fault-injector.js';
import { Host } from './host.js';
import { markWraps } from './mark-wraps.js';
import type { Waited } from './records.js';
import type { ConnectionPlan, EndOptions, Scenario, Side } from './scenario.js';
import { verifyEnd, verifyStep, verifyTimers } from './verify.js';
import { markRates } from './verify-rates.js';

export const SERVER_IP = '10.0.0.1';
export const SERVER_PORT = 4433;
export const clientIp = (host: number): string => `10.0.1.${host + 1}`;
const clientName = (plan: number): string => `client-${plan}`;

/** All comes to its end within this, whatever happened before. */
const PATIENCE_MILLIS = 120_000;
const MAX_STEPS = 400_000;

interface Connecting {
  readonly began: number;
  ended: number;
  error: RdmaError | null;
  readonly waited: Waited | null;
}

/** What is known of a plan while it runs. */
export interface Course {
  readonly number: number;
  readonly plan: ConnectionPlan;
  readonly programs: Record<Side, EndProgram | null>;
  readonly lastStep: Record<Side, string>;
  readonly identity: string;
  /** Since it last went down; none counts before. */
  readonly sessionsOfRecovery: Record<Side, number>;
  /** The call of `connect`. */
  connecting: Connecting | null;
  connectError: RdmaError | undefined;
  isOver: boolean;
}

/** Of the lengths that streams write some are registered for themselves. */
const LENT_CHUNK_BYTES = 900;

export class World {
  readonly scenario: Scenario;
  readonly trace: (text: string) => void;
  readonly time = new VirtualTime();
  readonly beganAt = this.time.now;
  readonly random: Random;
  readonly network: VirtualNetwork;
  readonly tls: VirtualTls;
  readonly marks = new Marks();
  readonly courses: Course[];
  readonly clients = new Map<number, Host>();
  /** All servers, those that died as well; the last one is the present one. */
  readonly servers: { readonly host: Host; readonly server: Server }[] = [];
  readonly faults: FaultInjector;
  /** Clients that never became connections, as their servers tell it. */
  readonly refusals: { readonly address: string; readonly kind: string }[] = [];
  readonly #restores: (() => void)[] = [];
  #isOver = false;
  /** A fault closed the server. */
  #closing: Promise<void> | undefined;

  /** `trace` gets a line for everything that happens, for people. */
  constructor(scenario: Scenario, trace: (line: string) => void = () => {}) {
    this.scenario = scenario;
    this.trace = (text) => trace(`${this.time.now.toFixed(2)} ${text}`);
    this.random = new Random(scenario.seed * 2 + 1);
    this.network = new VirtualNetwork(this.time, this.random.fork(), new Icrc(fastCrc32));
    this.tls = new VirtualTls(this.time);
    this.courses = scenario.plans.map((plan, number) => ({
      number,
      plan,
      programs: { client: null, server: null },
      lastStep: { client: 'none', server: 'none' },
      identity: clientName(number),
      sessionsOfRecovery: { client: Number.NEGATIVE_INFINITY, server: Number.NEGATIVE_INFINITY },
      connecting: null,
      connectError: undefined,
      isOver: false,
    }));
    this.faults = new FaultInjector(this);
  }

  /** @throws SimFailure, or whatever the code under test threw. */
  async run(): Promise<void> {
    this.#restores.push(this.time.install(this.random.fork()), this.tls.install());
    const onStray = (error: unknown): void => this.time.fail(error);
    const { first, nearPsns } = this.scenario;
    this.#restores.push(
      installFirstNumbers(first),
      replace(FIXED_NUMBERS, { lentChunkBytes: LENT_CHUNK_BYTES }),
    );
    if (nearPsns) this.#restores.push(installNearPsns(new Random(this.scenario.seed)));
    process.on('unhandledRejection', onStray);
    process.on('uncaughtException', onStray);
    try {
      this.#preparePaths();
      this.#main().catch((error: unknown) => this.time.fail(error));
      await this.time.run(
        () => this.#isOver,
        () => this.#look(),
      );
      if (!this.#isOver) throw new SimFailure('liveness', `nothing more happens, but ${this.#waiting()}`);
      // What is left over has a moment to go.
      await this.time.run(() => this.time.timers.length === 0 && this.tls.connections.size === 0);
      verifyEnd(this);
      markWraps(this);
      markRates(this);
    } finally {
      for (const restore of this.#restores.reverse()) restore();
      process.off('unhandledRejection', onStray);
      process.off('uncaughtException', onStray);
    }
  }

  get server(): Server {
    return (this.servers.at(-1) as { server: Server }).server;
  }

  get serverHost(): Host {
    return (this.servers.at(-1) as { host: Host }).host;
  }

  /** Another server in the place of the one that died, or the first. */
  async startServer(): Promise<void> {
    const { server: options, slots, verbMillis, rates } = this.scenario;
    const host = new Host(this.network, SERVER_IP, this.random.fork(), verbMillis);
    const server = await listen(
      {
        ...limitsOf(options),
        streams: this.scenario.streams,
        ...(rates === null ? {} : { rates }),
        host: SERVER_IP,
        port: SERVER_PORT,
        device: host.device.device,
        cert: hostCertificate('server'),
        key: hostKey('server'),
        clientCa: hostCertificate('authority'),
        slots,
        onStep: (step) => this.#onServerStep(step),
      },
      (connection) => this.#serve(connection),
    );
    server.on('handlerError', (_, error) => this.time.fail(error));
    server.on('refused', ({ reason, address, kind }) => {
      this.refusals.push({ address, kind });
      this.marks.hit(`refused: ${kindOf(reason)}`);
      this.trace(`refused: ${reason}`);
    });
    this.servers.push({ host, server });
  }

  /** The machine of the server dies with all that it knows. */
  killServer(): void {
    const { host, server } = this.servers.at(-1) as { host: Host; server: Server };
    for (const course of this.courses) {
      const program = course.programs.server;
      if (program !== null) program.hasCrashed = true;
    }
    host.device.port.unplug();
    this.tls.forget(SERVER_IP);
    for (const connection of [...this.tls.connections]) connection.reset('both');
    // What runs on in this process is a ghost that nobody hears; it has to clean up all the same.
    server.abort();
    void server.close();
  }

  closeServer(): Promise<void> {
    for (const { programs } of this.courses) if (programs.server !== null) programs.server.endedItself = true;
    this.#closing ??= this.server.close();
    return this.#closing;
  }

  hostOf({ plan }: Course): Host {
    let host = this.clients.get(plan.host);
    if (host === undefined) {
      host = new Host(this.network, clientIp(plan.host), this.random.fork(), this.scenario.verbMillis);
      this.clients.set(plan.host, host);
    }
    return host;
  }

  async #main(): Promise<void> {
    const { time, scenario } = this;
    const pass = (millis: number): Promise<void> => new Promise((resolve) => time.in(millis, resolve));
    await this.startServer();
    this.faults.begin();
    const courses = this.courses.map(async (course) => {
      await pass(course.plan.startAt);
      await this.#connect(course);
      course.isOver = true;
    });
    await pass(scenario.healAt);
    await this.faults.heal();
    await Promise.all(courses);
    await this.closeServer();
    for (const { programs } of this.courses) {
      await programs.client?.taken;
      await programs.server?.taken;
    }
    for (const { server } of this.servers) await server.close();
    for (const { host } of this.servers) await host.device.device.close();
    for (const { device } of this.clients.values()) await device.device.close();
    verifyTimers(this);
    this.#isOver = true;
  }

  async #connect(course: Course): Promise<void> {
    const { plan, identity } = course;
    const host = this.hostOf(course);
    const program = this.#programOf(course, 'client');
    let connection: Connection;
    const { abortAfter } = plan;
    const patience = abortAfter === null ? null : { abortAfter, timeoutMillis: null };
    const { options, waited } = program.wait(patience);
    const connecting: Connecting = { began: this.time.now, ended: Infinity, error: null, waited };
    course.connecting = connecting;
    host.connections++;
    try {
      connection = await connect({
        ...limitsOf(plan.client),
        streams: this.scenario.streams,
        ...options,
        host: SERVER_IP,
        port: SERVER_PORT,
        device: host.device.device,
        ca: hostCertificate(host.ip),
        cert: hostCertificate(identity),
        key: hostKey(identity),
        onStep: (step) => this.#onStep(course, 'client', step),
      });
    } catch (error) {
      connecting.ended = this.time.now;
      if (!(error instanceof RdmaError)) throw error;
      this.marks.hit(`connect: ${error.code}`);
      this.trace(`client ${course.number} could not connect: ${error.message}`);
      course.connectError = error;
      connecting.error = error;
      host.connections--;
      return;
    }
    connecting.ended = this.time.now;
    await program.run(connection);
    if (plan.isPatient) await program.settle();
    await program.close();
    await connection.closed;
    host.connections--;
  }

  async #serve(connection: Connection): Promise<void> {
    const name = connection.peer?.subject;
    const course = this.courses.find(({ identity }) => `CN=${identity}` === name);
    if (course === undefined) throw new SimFailure('identity', `a connection of nobody: ${name}`);
    if (course.programs.server !== null) throw new SimFailure('identity', `two connections of ${name}`);
    const program = this.#programOf(course, 'server');
    await Promise.race([program.run(connection).then(() => program.taken), program.taken]);
    program.endedItself = true;
  }

  #programOf(course: Course, side: Side): EndProgram {
    const { number, plan, programs } = course;
    const { time, marks, trace } = this;
    const program = new EndProgram({
      time,
      marks,
      trace,
      seed: this.scenario.seed,
      planNumber: number,
      plan,
      side,
      firstStream: this.scenario.first.stream,
    });
    programs[side] = program;
    const { client, server } = programs;
    if (client !== null && server !== null) {
      client.peer = server;
      server.peer = client;
    }
    return program;
  }

  #onServerStep(step: ConnectionStep): void {
    const peer = step.details['peer'];
    if (step.name === 'tls') this.#serverSteps.set(step.connection, String(peer));
    const ip = this.#serverSteps.get(step.connection);
    const course = this.courses.find(({ plan }) => clientIp(plan.host) === ip);
    if (course !== undefined) this.#onStep(course, 'server', step);
  }

  readonly #serverSteps = new Map<number, string>();
  /** Their servers wait for clients that may be up. */
  readonly #awaited = new Set<Course>();

  #onStep(course: Course, side: Side, { name, details }: ConnectionStep): void {
    course.lastStep[side] = name;
    this.marks.hit(`${side} step ${name}`);
    this.trace(`${side} ${course.number} ${name} ${JSON.stringify(details)}`);
    if (name === 'recovering') course.sessionsOfRecovery[side] = 0;
    if (name === 'recovering' && side === 'server' && course.programs.server === null)
      this.#awaited.add(course);
    if (name === 'ready' && side === 'server' && this.#awaited.has(course))
      this.marks.hit('client was up first and came back');
    if (name === 'tls' && ++course.sessionsOfRecovery[side] > 1)
      this.marks.hit(`${side} had more than one session in a recovery`);
    if (name === 'recovering') {
      const { code, status, qpState } = details;
      this.marks.hit(`${side} recovering from ${code}${status === '' ? '' : ` ${status}`}`);
      this.marks.hit(`recovering with the queue pair in ${qpState}`);
    }
    this.faults.onStep(course.number, side, name);
  }

  #preparePaths(): void {
    const { path } = this.scenario;
    for (const { plan } of this.courses) {
      const ip = clientIp(plan.host);
      Object.assign(this.network.path(ip, SERVER_IP), path);
      Object.assign(this.network.path(SERVER_IP, ip), path);
    }
    const { blocked } = this.scenario;
    if (blocked === null) return;
    const ip = clientIp(blocked.host);
    if (blocked.direction !== 'toClient') this.network.path(ip, SERVER_IP).dark++;
    if (blocked.direction !== 'toServer') this.network.path(SERVER_IP, ip).dark++;
  }

  #look(): void {
    verifyStep(this);
    if (this.time.steps > MAX_STEPS) throw new SimFailure('liveness', 'it runs and runs');
    const { healAt } = this.scenario;
    if (this.time.now > healAt + PATIENCE_MILLIS) {
      throw new SimFailure('liveness', `${PATIENCE_MILLIS} ms after all was healed ${this.#waiting()}`);
    }
  }

  #waiting(): string {
    const waiting: string[] = [];
    for (const { programs, number, isOver, lastStep } of this.courses) {
      for (const side of ['client', 'server'] as const) {
        const open = programs[side]?.unsettled ?? [];
        if (open.length > 0)
          waiting.push(`the ${side} of ${number} (${lastStep[side]}) waits for ${open.join(', ')}`);
      }
      if (!isOver) waiting.push(`client ${number} is not done (${lastStep.client})`);
    }
    return waiting.length === 0 ? 'the server does not close' : waiting.join('; ');
  }
}

const limitsOf = ({ encryption, ...limits }: EndOptions) => ({
  ...limits,
  ...(encryption ? { encryption: 'aes-256-gcm' as const } : {}),
});

/** A reason without what is different in each case. */
const kindOf = (reason: string): string => reason.replaceAll(/\d[\d.:]*/g, 'N').slice(0, 60);
