/** `queuepair proxy`: puts a TCP service on RDMA, and a TCP port before a service that is there. */
import type { Command } from 'commander';
import type { ServerOptions, SocketConnectOptions } from '../net/options.js';
import { listenFault } from '../session/listen-fault.js';
import { usageError } from '../verbs/errors.js';
import { portArgument } from './arguments.js';
import { clientCertificates, serverCertificates } from './certificates.js';
import { ExitCode } from './failure.js';
import { plural } from './format.js';
import { createOutput, type Output } from './output.js';
import { ProgramCommand } from './program-command.js';
import { checkEnds, endText, type ProxyEnd, proxyEndArgument } from './proxy/proxy-end.js';
import { type ProxyEvent, ProxyService } from './proxy/proxy-service.js';
import { firstSignal, signalExitCode } from './shutdown.js';
import { WrongArguments } from './wrong-arguments.js';

/** For the sockets that are open when a signal ends the proxy. */
const GRACE_MILLIS = 1000;

const EXAMPLES = `
A client of the service talks TCP to one proxy, that talks RDMA to the other, and that talks TCP to the service. The end of one
direction, and a reset, travel through. All sockets between the two proxies share one connection.

Examples:
  On the machine of the service:
  $ queuepair proxy --listen rdma:192.0.2.7:5433 --to tcp:127.0.0.1:5432
  On the machine of its clients:
  $ queuepair proxy --listen tcp:127.0.0.1:5432 --to rdma:192.0.2.7:5433
  For programs that run under librspreload.so, which authenticate nobody:
  $ queuepair proxy --rsocket --device soft:192.0.2.7 --listen rdma:192.0.2.7:7000 --to tcp:127.0.0.1:80`;

interface ProxyFlags {
  readonly listen: ProxyEnd;
  readonly to: ProxyEnd;
  readonly rsocket?: boolean;
  readonly device: string;
  readonly udpPort?: number;
  readonly forkSafe?: boolean;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly clientCa?: string;
  readonly devCerts?: string;
  readonly servername?: string;
  readonly encrypt?: boolean;
  readonly json?: boolean;
}

export function proxyCommand(): Command {
  return new ProgramCommand('proxy')
    .description('put a TCP service on RDMA, and back on TCP where its clients are')
    .requiredOption(
      '--listen <end>',
      'where sockets come in: tcp:HOST:PORT or rdma:HOST:PORT',
      (text: string) => proxyEndArgument(text, true),
    )
    .requiredOption('--to <end>', 'where each of them goes: the other kind', (text: string) =>
      proxyEndArgument(text, false),
    )
    .option('--rsocket', 'speak rsocket on the RDMA end: plain, nobody is authenticated')
    .option('--device <name>', 'RDMA device (see: queuepair devices)', 'soft')
    .option(
      '--udp-port <port>',
      "UDP port of the other end's soft device, for --rsocket on one host",
      portArgument,
    )
    .option(
      '--fork-safe',
      'the server at --to rdma:… runs under librspreload with RDMAV_FORK_SAFE=1 (for --rsocket)',
    )
    .option('--ca <file>', 'authority that signed the certificate of the other proxy, PEM (for --to rdma:…)')
    .option('--cert <file>', 'our certificate, PEM (default: a development one)')
    .option('--key <file>', 'its private key, PEM')
    .option('--client-ca <file>', 'authority of the certificates of clients, PEM (for --listen rdma:…)')
    .option('--dev-certs <dir>', 'where the development certificates are kept')
    .option(
      '--servername <name>',
      'name that the certificate of the other proxy must hold, if it is not HOST',
    )
    .option('--encrypt', 'seal what travels (AES-256-GCM)')
    .option('--json', 'one JSON object a line on standard output')
    .addHelpText('after', EXAMPLES)
    .action(async (flags: ProxyFlags) => {
      process.exitCode = await runProxy(flags, createOutput(flags.json === true));
    });
}

async function runProxy(flags: ProxyFlags, output: Output): Promise<number> {
  const { listen, to } = flags;
  checkEnds(listen, to);
  checkFlags(flags);
  const signalled = firstSignal();
  const rdma = await rdmaOptions(flags);
  const proxy = new ProxyService({ listen, to, rdma, emit: (event) => tell(output, event) });
  const listening = await started(proxy, endText(listen));
  output.event({ event: 'listening', listen: endText(listening), port: listening.port, to: endText(to) });
  output.line(`listening on ${endText(listening)}, for ${endText(to)}`);
  const signal = await signalled;
  output.event({ event: 'closing', signal });
  await proxy.close(GRACE_MILLIS);
  const { connections, failed, bytesThere, bytesBack } = proxy.counts;
  output.event({ event: 'summary', connections, failed, bytesThere, bytesBack });
  output.line(
    `${plural(connections, 'socket')}, ${failed} failed; ${bytesThere} bytes there, ${bytesBack} bytes back`,
  );
  return signal === 'SIGPIPE' ? signalExitCode(signal) : ExitCode.OK;
}

/** What keeps it from listening is told as one sentence, whoever found out. */
async function started(proxy: ProxyService, where: string): Promise<ProxyEnd> {
  try {
    return await proxy.start();
  } catch (error) {
    const { cause } = error as Error;
    throw cause instanceof Error ? cause : usageError(`cannot listen on ${where}: ${listenFault(error)}`);
  }
}

/** A flag that would have no effect: whoever gives it takes the proxy for safer than it is. */
function checkFlags(flags: ProxyFlags): void {
  const { ca, cert, key, clientCa, devCerts, servername, encrypt, udpPort, forkSafe } = flags;
  const refuse = (given: Record<string, unknown>, why: string): void => {
    const [name] = Object.entries(given).find(([, value]) => value !== undefined) ?? [];
    if (name !== undefined)
      throw new WrongArguments(`${name} has no effect ${why}: leave out one of the two`);
  };
  if (flags.rsocket === true) {
    const secure = { '--cert': cert, '--key': key, '--client-ca': clientCa, '--dev-certs': devCerts };
    refuse(
      { '--ca': ca, ...secure, '--servername': servername, '--encrypt': encrypt },
      'with --rsocket, which authenticates nobody and hides nothing',
    );
    if (flags.listen.kind === 'rdma') refuse({ '--fork-safe': forkSafe }, 'with --listen rdma:…');
  } else {
    refuse({ '--udp-port': udpPort, '--fork-safe': forkSafe }, 'without --rsocket');
    if (flags.listen.kind === 'rdma') {
      refuse(
        { '--ca': ca, '--servername': servername },
        'with --listen rdma:…, where --client-ca says who may come',
      );
    } else refuse({ '--client-ca': clientCa }, 'with --to rdma:…, where --ca says whom to trust');
  }
}

async function rdmaOptions(
  flags: ProxyFlags,
): Promise<Partial<ServerOptions> | Partial<SocketConnectOptions>> {
  const { device, udpPort, forkSafe, listen, servername } = flags;
  if (flags.rsocket === true) {
    return {
      ...({ rdma: 'rsocket', device } as const),
      ...(udpPort === undefined ? {} : { udpPort }),
      ...(forkSafe === undefined ? {} : { forkSafe }),
    };
  }
  const common = { device, ...(flags.encrypt === true ? { encryption: 'aes-256-gcm' as const } : {}) };
  if (listen.kind === 'rdma') {
    const { dev: _, ...certificates } = await serverCertificates(flags, listen);
    return { ...common, ...certificates };
  }
  const { devDir: _, ...certificates } = await clientCertificates(flags);
  return { ...common, ...certificates, ...(servername === undefined ? {} : { servername }) };
}

function tell(output: Output, event: ProxyEvent): void {
  output.event(event);
  if (event.event === 'opened') output.line(`${event.id}: from ${event.from}`);
  else if (event.event === 'failed')
    output.line(`${event.id}: ${output.style.red('failed')}: ${event.message}`);
  else {
    const { id, bytesThere, bytesBack, millis, error } = event;
    const how =
      error === null ? 'closed' : `${output.style.yellow(`${error.side} side failed`)}: ${error.message}`;
    output.line(`${id}: ${how}; ${bytesThere} bytes there, ${bytesBack} back, ${millis} ms`);
  }
}
