/**
 * What happens to the clients of servers that die, in virtual time: the machines that clients and servers run (recovery, the pace of
 * connecting again, order and health of servers, the limit of handshakes) with the cost of a handshake as the one measured figure.
 *
 * The model of a server: one core, which does one thing at a time in the order of arrival. A handshake takes two turns of it, with a
 * round trip between; accepting costs nothing; more than `maxHandshakes` at once drop the oldest, whose work was for nothing.
 */

import { orderServers, ServerHealth } from '../../src/connection/client/server-order.js';
import { Deque } from '../../src/connection/common/deque.js';
import { Recovery } from '../../src/connection/lifeline/lifeline-recovery.js';
import { ReconnectPace } from '../../src/connection/lifeline/reconnect-pace.js';
import { RdmaError } from '../../src/verbs/errors.js';
import { Random } from '../../testkit/random.js';

export interface FleetCase {
  readonly servers: number;
  readonly clients: number;
  /** How many servers die at 0. */
  readonly dead: number;
  /** When they are there again, with nothing of what they knew; infinity for never. */
  readonly backAfterMillis: number;
  readonly recoveryMillis: number;
  /** Handshakes that one core completes in a second. */
  readonly handshakesPerSecond: number;
  readonly maxHandshakes: number;
  /** How clients pause: as they do, or not at all but for so many milliseconds. */
  readonly pause: 'pace' | number;
  readonly seed: number;
}

export interface FleetResult {
  /** Clients that lost their server. */
  readonly lost: number;
  /** When half, 99 of 100 and all of them were connected again; infinity where they were not within two minutes. */
  readonly halfMillis: number;
  readonly mostMillis: number;
  readonly allMillis: number;
  /** Handshakes that servers began for each client that came back. */
  readonly handshakesEach: number;
  /** The most connections that a server has at the end. */
  readonly mostConnections: number;
}

/** What a client sees that had to give way. */
const CROWDED = new RdmaError('ERR_RDMA_CONNECTION_LOST', 'closed before TLS began', {
  refusal: 'before-tls',
});

const ROUND_TRIP_MILLIS = 0.5;
/** The share of a handshake that comes before the client's answer. */
const FIRST_TURN = 0.6;
/** The end of a run in which some do not come back. */
const LIMIT_MILLIS = 120_000;

interface Server {
  readonly name: string;
  readonly priority: number;
  readonly weight: number;
  readonly index: number;
  upAt: number;
  connections: number;
  isBusy: boolean;
  readonly waiting: Deque<Turn>;
  readonly inTls: Set<Handshake>;
}

interface Handshake {
  isDropped: boolean;
  readonly onDropped: () => void;
}

/** What a handshake wants of the core. */
interface Turn {
  readonly handshake: Handshake;
  readonly millis: number;
  readonly then: () => void;
}

interface Client {
  readonly pace: ReconnectPace;
  readonly health: ServerHealth;
  readonly recovery: Recovery;
  home: Server;
}

/** Events in the order of time; those of one time in the order in which they were added. */
class Agenda {
  now = 0;
  readonly #heap: { at: number; order: number; run: () => void }[] = [];
  #added = 0;

  at(at: number, run: () => void): void {
    const heap = this.#heap;
    heap.push({ at, order: this.#added++, run });
    for (let i = heap.length - 1; i > 0; ) {
      const parent = (i - 1) >> 1;
      if (!this.#isBefore(i, parent)) break;
      this.#swap(i, parent);
      i = parent;
    }
  }

  /** Runs the next event; `false` when there is none. */
  next(): boolean {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (first === undefined || last === undefined) return false;
    if (heap.length > 0) {
      heap[0] = last;
      for (let i = 0; ; ) {
        const left = 2 * i + 1;
        if (left >= heap.length) break;
        const child = left + 1 < heap.length && this.#isBefore(left + 1, left) ? left + 1 : left;
        if (!this.#isBefore(child, i)) break;
        this.#swap(child, i);
        i = child;
      }
    }
    this.now = first.at;
    first.run();
    return true;
  }

  #isBefore(a: number, b: number): boolean {
    const [first, second] = [this.#heap[a], this.#heap[b]];
    if (first === undefined || second === undefined) return false;
    return first.at < second.at || (first.at === second.at && first.order < second.order);
  }

  #swap(a: number, b: number): void {
    const [first, second] = [this.#heap[a], this.#heap[b]];
    if (first === undefined || second === undefined) return;
    this.#heap[a] = second;
    this.#heap[b] = first;
  }
}

export class FleetRun {
  readonly #case: FleetCase;
  readonly #agenda = new Agenda();
  readonly #random: () => number;
  readonly #servers: Server[];
  readonly #back: number[] = [];
  #handshakes = 0;

  constructor(fleet: FleetCase) {
    this.#case = fleet;
    const random = new Random(fleet.seed);
    this.#random = () => random.unit();
    this.#servers = Array.from({ length: fleet.servers }, (_, index) => ({
      name: `server-${index}`,
      priority: 0,
      weight: 1,
      index,
      upAt: index < fleet.dead ? fleet.backAfterMillis : 0,
      connections: 0,
      isBusy: false,
      waiting: new Deque<Turn>(),
      inTls: new Set<Handshake>(),
    }));
  }

  run(): FleetResult {
    const { clients, recoveryMillis, dead } = this.#case;
    let lost = 0;
    for (let i = 0; i < clients; i++) {
      // Whom a client got when all were well; drawing all of them for each client would say the same.
      const home = this.#servers[Math.floor(this.#random() * this.#servers.length)] as Server;
      if (home.index >= dead) {
        home.connections++;
        continue;
      }
      lost++;
      const pace = new ReconnectPace();
      pace.connected(-60_000);
      const client = { pace, health: new ServerHealth(), recovery: new Recovery(recoveryMillis), home };
      client.recovery.begin(0, -60_000, new RdmaError('ERR_RDMA_CONNECTION_LOST', 'the server died'));
      this.#recover(client);
    }
    while (this.#agenda.now <= LIMIT_MILLIS && this.#agenda.next());
    const at = (share: number): number => this.#back[Math.ceil(share * lost) - 1] ?? Number.POSITIVE_INFINITY;
    return {
      lost,
      halfMillis: at(0.5),
      mostMillis: at(0.99),
      allMillis: at(1),
      handshakesEach: this.#handshakes / Math.max(1, lost),
      mostConnections: Math.max(...this.#servers.map(({ connections }) => connections)),
    };
  }

  /** As a connection whose session is lost does, until its time is over or somebody else answers there. */
  #recover(client: Client): void {
    const { now } = this.#agenda;
    if (client.recovery.leftMillis(now) <= 0) {
      this.#leave(client);
      return;
    }
    this.#agenda.at(now + client.recovery.nextPauseMillis(this.#random), () => {
      // Nothing listens: the machine refuses at once.
      if (client.home.upAt > this.#agenda.now) this.#recover(client);
      else
        this.#shakeHands(
          client.home,
          () => this.#leave(client),
          () => {
            client.recovery.noteFailure(CROWDED);
            this.#recover(client);
          },
        );
    });
  }

  #leave(client: Client): void {
    client.health.noteFailure(client.home.name, this.#agenda.now, this.#random);
    client.pace.ended(this.#agenda.now);
    this.#pauseAndConnect(client);
  }

  #pauseAndConnect(client: Client): void {
    const { pause } = this.#case;
    const millis = pause === 'pace' ? client.pace.pauseMillis(this.#random) : pause;
    this.#agenda.at(this.#agenda.now + millis, () => {
      const restsUntil = ({ name }: Server): number => client.health.restsUntil(name);
      this.#tryInOrder(client, orderServers(this.#servers, restsUntil, this.#agenda.now, this.#random));
    });
  }

  #tryInOrder(client: Client, [first, ...others]: readonly Server[]): void {
    if (first === undefined) {
      client.pace.failed();
      this.#pauseAndConnect(client);
      return;
    }
    const fail = (): void => {
      client.health.noteFailure(first.name, this.#agenda.now, this.#random);
      this.#agenda.at(this.#agenda.now + ROUND_TRIP_MILLIS, () => this.#tryInOrder(client, others));
    };
    if (first.upAt > this.#agenda.now) {
      fail();
      return;
    }
    this.#shakeHands(
      first,
      () => {
        first.connections++;
        this.#back.push(this.#agenda.now);
      },
      fail,
    );
  }

  #shakeHands(server: Server, done: () => void, dropped: () => void): void {
    this.#handshakes++;
    for (const oldest of server.inTls) {
      if (server.inTls.size < this.#case.maxHandshakes) break;
      server.inTls.delete(oldest);
      oldest.isDropped = true;
      oldest.onDropped();
    }
    const handshake: Handshake = { isDropped: false, onDropped: dropped };
    server.inTls.add(handshake);
    const costMillis = 1000 / this.#case.handshakesPerSecond;
    this.#turn(server, handshake, FIRST_TURN * costMillis, () => {
      this.#agenda.at(this.#agenda.now + ROUND_TRIP_MILLIS, () =>
        this.#turn(server, handshake, (1 - FIRST_TURN) * costMillis, () => {
          server.inTls.delete(handshake);
          done();
        }),
      );
    });
  }

  /** Waits for the core and takes it; who was dropped by then takes none. */
  #turn(server: Server, handshake: Handshake, millis: number, then: () => void): void {
    server.waiting.push({ handshake, millis, then });
    if (!server.isBusy) this.#serveNext(server);
  }

  #serveNext(server: Server): void {
    let turn = server.waiting.shift();
    while (turn?.handshake.isDropped === true) turn = server.waiting.shift();
    server.isBusy = turn !== undefined;
    if (turn === undefined) return;
    const { handshake, millis, then } = turn;
    this.#agenda.at(this.#agenda.now + millis, () => {
      if (!handshake.isDropped) then();
      this.#serveNext(server);
    });
  }
}
