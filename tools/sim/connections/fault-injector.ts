/** Does the faults of a scenario at their time or step, and undoes them. */
import { connect as connectTls } from 'node:tls';
import { encodeFrame, type Frame } from '../../../src/session/frames.js';
import { toPsn } from '../../../src/verbs/brands.js';
import { hostCertificate } from '../../../testkit/virtual-certificate.js';
import type { TcpConnection } from '../../../testkit/virtual-tcp-connection.js';
import { SimFailure } from '../failure.js';
import { type Direction, type Fault, otherSide, type Side } from './scenario.js';
import { type Course, clientIp, SERVER_IP, SERVER_PORT, type World } from './world.js';

/** A machine that comes back sooner answers meanwhile that nobody listens. */
const REACHABLE_MILLIS = 500;
/** A program that misses its turn is asked after up to sixteen intervals, and lost an interval later; what had left before may arrive later. */
const NOTICE_INTERVALS = 17;
const NOTICE_MILLIS = 1000;

export class FaultInjector {
  readonly #world: World;
  /** What undoes the faults that last. */
  readonly #lasting = new Set<() => void>();
  readonly #stepCounts = new Map<string, number>();
  readonly #tokens = new Map<string, string>();
  /** How the connections of a client are stalled that it makes while a fault lasts. */
  readonly #stalled = new Map<string, Direction[]>();
  readonly #ghosts = new Set<TcpConnection>();
  #restarting: Promise<void> | undefined;
  #isHealed = false;
  #isMakingGhost = false;

  constructor(world: World) {
    this.#world = world;
    world.tls.onConnection = (connection) => this.#onConnection(connection);
  }

  begin(): void {
    const { time, scenario } = this.#world;
    for (const fault of scenario.faults) {
      const { trigger } = fault;
      if ('at' in trigger) time.in(trigger.at, () => this.#do(fault));
    }
  }

  onStep(plan: number, side: Side, step: string): void {
    const key = `${plan} ${side} ${step}`;
    const count = (this.#stepCounts.get(key) ?? 0) + 1;
    this.#stepCounts.set(key, count);
    for (const fault of this.#world.scenario.faults) {
      const { trigger } = fault;
      if ('at' in trigger || fault.plan !== plan) continue;
      if (trigger.side !== side || trigger.step !== step || trigger.count !== count) continue;
      this.#world.time.in(trigger.after, () => this.#do(fault));
    }
  }

  /** All faults are over, and none begins any more. */
  async heal(): Promise<void> {
    this.#isHealed = true;
    for (const undo of [...this.#lasting]) undo();
    for (const { host } of this.#world.servers) host.device.heal();
    for (const host of this.#world.clients.values()) host.device.heal();
    for (const { plan } of this.#world.courses) {
      const ip = clientIp(plan.host);
      this.#world.network.path(ip, SERVER_IP).loss = 0;
      this.#world.network.path(SERVER_IP, ip).loss = 0;
    }
    await this.#restarting;
  }

  #do(fault: Fault): void {
    if (this.#isHealed) return;
    const course = this.#world.courses[fault.plan];
    if (course === undefined) return;
    const { what, lasts } = fault;
    const { marks } = this.#world;
    this.#world.trace(`fault ${JSON.stringify(what)} for ${lasts} ms`);
    marks.hit(`fault ${what.kind}`);
    marks.hit(`${what.kind} at client ${course.lastStep.client}`);
    marks.hit(`${what.kind} at server ${course.lastStep.server}`);
    switch (what.kind) {
      case 'dark':
        this.#darken(course, what.direction, lasts);
        break;
      case 'loss':
        this.#lose(course, what.direction, what.probability, lasts);
        break;
      case 'stall':
        this.#stall(course, what.direction, lasts);
        break;
      case 'blackout':
        this.#darken(course, 'both', lasts);
        this.#stall(course, 'both', lasts);
        break;
      case 'reset':
        for (const connection of this.#connectionsOf(course)) connection.reset(what.whoLearns);
        break;
      case 'queuePair':
        this.#deviceOf(course, what.side).failQueuePairs(what.withEvent);
        break;
      case 'halt':
        this.#halt(course, what.side, lasts);
        break;
      case 'verb':
        this.#deviceOf(course, what.side).failNext(what.verb, what.times);
        break;
      case 'restart':
        this.#restart(lasts);
        break;
      case 'ghost':
        this.#comeBackTwice(course, what.goesOn, lasts);
        break;
      case 'closeServer':
        void this.#world.closeServer();
        break;
    }
  }

  #darken({ plan }: Course, direction: Direction, lasts: number): void {
    for (const path of this.#paths(plan.host, direction)) {
      path.dark++;
      this.#last(lasts, () => path.dark--);
    }
  }

  #lose({ plan }: Course, direction: Direction, probability: number, lasts: number): void {
    for (const path of this.#paths(plan.host, direction)) {
      const before = path.loss;
      path.loss = probability;
      this.#last(lasts, () => {
        path.loss = before;
      });
    }
  }

  #paths(host: number, direction: Direction) {
    const { network } = this.#world;
    const ip = clientIp(host);
    return [
      ...(direction === 'toClient' ? [] : [network.path(ip, SERVER_IP)]),
      ...(direction === 'toServer' ? [] : [network.path(SERVER_IP, ip)]),
    ];
  }

  #stall(course: Course, direction: Direction, lasts: number): void {
    const { identity } = course;
    const stalled = this.#stalled.get(identity) ?? [];
    this.#stalled.set(identity, stalled);
    stalled.push(direction);
    for (const connection of this.#connectionsOf(course)) stall(connection, direction);
    this.#last(lasts, () => {
      stalled.splice(stalled.indexOf(direction), 1);
      for (const connection of this.#connectionsOf(course)) resume(connection, direction);
    });
  }

  /** Nothing comes over TLS of programs that stand still. */
  #halt(course: Course, side: Side, lasts: number): void {
    const device = this.#deviceOf(course, side);
    device.halt();
    this.#last(lasts, () => device.goOn());
    this.#stall(course, 'both', lasts);
    this.#mustNotice(course, otherSide(side), device);
  }

  /** The other end of a brief connection finds out, unless the program goes on before. */
  #mustNotice(course: Course, side: Side, halted: { readonly isHalted: boolean }): void {
    const { time, marks, scenario } = this.#world;
    const program = course.programs[side];
    const { keepAliveMillis } = side === 'client' ? course.plan.client : scenario.server;
    if (program?.connection?.session !== 'left' || program.endedItself || program.hasCrashed) return;
    const { failures } = program;
    time.in(NOTICE_INTERVALS * keepAliveMillis + NOTICE_MILLIS, () => {
      if (!halted.isHalted || program.endedItself || program.hasCrashed) return;
      if (program.failures > failures) marks.hit(`${side} noticed a program that stands still`);
      else
        time.fail(new SimFailure('silence', `${program.name} takes a program for alive that stands still`));
    });
  }

  #restart(lasts: number): void {
    if (this.#restarting !== undefined) return;
    const { tls, time } = this.#world;
    this.#world.killServer();
    if (lasts > REACHABLE_MILLIS) tls.setReachable(SERVER_IP, false);
    const back = new Promise<void>((resolve) => this.#last(lasts, resolve));
    this.#restarting = back.then(async () => {
      tls.setReachable(SERVER_IP, true);
      await new Promise<void>((resolve) => time.in(0.01, resolve));
      await this.#world.startServer();
      this.#restarting = undefined;
    });
    this.#restarting.catch((error: unknown) => time.fail(error));
  }

  /** A second session with the token of the first: it is taken up, and nothing, or little, comes over it. */
  #comeBackTwice(course: Course, goesOn: boolean, lasts: number): void {
    const token = this.#tokens.get(course.identity);
    if (token === undefined) return;
    this.#isMakingGhost = true;
    const ip = clientIp(course.plan.host);
    const secureContext = { ca: hostCertificate(ip), cert: hostCertificate(course.identity) };
    const socket = connectTls({ host: SERVER_IP, port: SERVER_PORT, ...({ secureContext } as object) });
    this.#isMakingGhost = false;
    const say = (frame: Frame): void => {
      if (!socket.destroyed) socket.write(encodeFrame(frame));
    };
    socket.on('error', () => undefined);
    socket.on('data', (data: Buffer) => {
      const text = data.toString('latin1');
      if (text.includes('"psn"')) this.#world.marks.hit('ghost: taken up');
      if (text.includes('"error"')) this.#world.marks.hit('ghost: told to go');
    });
    socket.once('secureConnect', () => {
      say({ type: 'resume', token });
      if (goesOn) say({ type: 'psn', psn: toPsn(4711) });
    });
    this.#last(lasts, () => socket.destroy());
  }

  #onConnection(connection: TcpConnection): void {
    if (this.#isMakingGhost) {
      this.#ghosts.add(connection);
      return;
    }
    const name = connection.clientName ?? '';
    connection.toClient.onBytes = (bytes) => {
      const token = /"resumeToken":"([0-9a-f]{64})"/.exec(bytes.toString('latin1'))?.[1];
      if (token !== undefined) this.#tokens.set(name, token);
    };
    for (const direction of this.#stalled.get(name) ?? []) stall(connection, direction);
  }

  #connectionsOf({ identity }: Course): TcpConnection[] {
    const all = [...this.#world.tls.connections];
    return all.filter((one) => one.clientName === identity && !this.#ghosts.has(one));
  }

  #deviceOf(course: Course, side: Side) {
    return (side === 'server' ? this.#world.serverHost : this.#world.hostOf(course)).device;
  }

  #last(millis: number, undo: () => void): void {
    const once = (): void => {
      if (this.#lasting.delete(once)) undo();
    };
    this.#lasting.add(once);
    this.#world.time.in(millis, once);
  }
}

function stall({ toClient, toServer }: TcpConnection, direction: Direction): void {
  if (direction !== 'toServer') toClient.stall();
  if (direction !== 'toClient') toServer.stall();
}

function resume({ toClient, toServer }: TcpConnection, direction: Direction): void {
  if (direction !== 'toServer') toClient.resume();
  if (direction !== 'toClient') toServer.resume();
}
