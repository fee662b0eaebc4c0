/** One end of the proxy as people write it: `tcp:127.0.0.1:5432`, `rdma:storage-7:4433`, `rdma:[2001:db8::7]:4433`. */
import { InvalidArgumentError } from 'commander';
import { hostPort } from '../../verbs/host-port.js';
import { targetArgument } from '../arguments.js';
import { WrongArguments } from '../wrong-arguments.js';

export interface ProxyEnd {
  readonly kind: 'tcp' | 'rdma';
  readonly host: string;
  readonly port: number;
}

const ADVICE = 'write tcp:HOST:PORT or rdma:HOST:PORT; an IPv6 address goes in brackets';

/** `mayBeAny`: port 0 means any free one. */
export function proxyEndArgument(text: string, mayBeAny: boolean): ProxyEnd {
  const [, kind, rest = ''] = /^(tcp|rdma):(.+)$/.exec(text) ?? [];
  if ((kind !== 'tcp' && kind !== 'rdma') || !/:\d+$/.test(rest)) throw new InvalidArgumentError(ADVICE);
  const isAny = mayBeAny && rest.endsWith(':0');
  try {
    const { host, port } = targetArgument(isAny ? `${rest.slice(0, -1)}1` : rest, 1);
    return { kind, host, port: isAny ? 0 : port };
  } catch {
    throw new InvalidArgumentError(ADVICE);
  }
}

/** @throws WrongArguments unless exactly one end is RDMA. */
export function checkEnds(listen: ProxyEnd, to: ProxyEnd): void {
  if (listen.kind !== to.kind) return;
  throw new WrongArguments(
    `--listen and --to are both ${listen.kind}: one end is tcp, the other one rdma, and for RDMA on both ways run two proxies`,
  );
}

export const endText = ({ kind, host, port }: ProxyEnd): string => `${kind}:${hostPort(host, port)}`;
