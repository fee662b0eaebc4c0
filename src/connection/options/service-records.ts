/** The servers of a service as DNS names them: its SRV records (RFC 2782), and the addresses of those by the same resolver. */
import type { Resolver } from 'node:dns/promises';
import { Resolver as DnsResolver } from 'node:dns/promises';
import type { LookupFunction } from 'node:net';
import { RdmaError } from '../../verbs/errors.js';
import type { Candidate } from './server-address.js';

/** What of `Resolver` of node:dns/promises is asked. */
export type ServiceResolver = Pick<Resolver, 'resolveSrv' | 'resolve4' | 'resolve6'>;

const SERVICE = /^_[^.\s]+\._[^.\s]+\.(?=[^.\s])/;
const TRIES = 2;

export const isServiceName = (name: string): boolean => SERVICE.test(name);

/** The name whose service it is: `example.com` of `_queuepair._tcp.example.com`. */
export const domainOf = (service: string): string => service.replace(SERVICE, '').replace(/\.$/, '');

/**
 * @throws RdmaError ERR_RDMA_NO_SERVER where DNS names none or does not answer, ERR_RDMA_ABORTED.
 */
export async function lookUpService(
  service: string,
  { resolver, timeoutMillis, signal }: LookUpOptions,
): Promise<readonly Candidate[]> {
  const own = resolver === undefined ? new DnsResolver({ timeout: timeoutMillis, tries: TRIES }) : undefined;
  const records = await abortable(
    (resolver ?? (own as DnsResolver)).resolveSrv(service),
    signal,
    service,
    () => own?.cancel(),
  );
  // The root as target says that there is decidedly no such service. At port 0 nobody can be reached.
  const servers = records.filter(({ name, port }) => name !== '' && name !== '.' && port > 0);
  if (servers.length > 0) return servers.map(({ name: host, ...rest }) => ({ host, ...rest }));
  throw new RdmaError(
    'ERR_RDMA_NO_SERVER',
    `DNS says that ${service} is not offered: its SRV records name no server`,
  );
}

interface LookUpOptions {
  readonly resolver: ServiceResolver | undefined;
  readonly timeoutMillis: number;
  readonly signal: AbortSignal | undefined;
}

/** For sockets: names are looked up where the service was. */
export const lookupBy =
  (resolver: ServiceResolver): LookupFunction =>
  (name, { all, family }, done) => {
    void addressesOf(resolver, name, family).then(
      (found) => {
        const [first] = found;
        if (first === undefined) done(noAddress(name), []);
        else if (all === true) done(null, found);
        else done(null, first.address, first.family);
      },
      (error: NodeJS.ErrnoException) => done(error, []),
    );
  };

async function addressesOf(
  resolver: ServiceResolver,
  name: string,
  wanted: number | string | undefined,
): Promise<{ address: string; family: number }[]> {
  const ask = async (family: 4 | 6): Promise<{ address: string; family: number }[]> => {
    const addresses = family === 4 ? await resolver.resolve4(name) : await resolver.resolve6(name);
    return addresses.map((address) => ({ address, family }));
  };
  if (wanted === 4 || wanted === 'IPv4') return await ask(4);
  if (wanted === 6 || wanted === 'IPv6') return await ask(6);
  const [four, six] = await Promise.allSettled([ask(4), ask(6)]);
  const found = [four, six].flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  if (found.length === 0 && four.status === 'rejected') throw four.reason;
  return found;
}

/** What Node's sockets take for an answer without addresses. */
function noAddress(name: string): NodeJS.ErrnoException {
  const message = `${name} has no address`;
  return Object.assign(new Error(message), { code: 'ENODATA', syscall: 'lookup', hostname: name });
}

async function abortable<T>(
  running: Promise<T>,
  signal: AbortSignal | undefined,
  service: string,
  cancel: () => void,
): Promise<T> {
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => {
      cancel();
      reject(
        new RdmaError('ERR_RDMA_ABORTED', `looking up ${service} was aborted`, { cause: signal?.reason }),
      );
    };
  });
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    if (signal?.aborted === true) onAbort();
    return await Promise.race([running, aborted]);
  } catch (error) {
    if (error instanceof RdmaError) throw error;
    throw unanswered(service, error);
  } finally {
    signal?.removeEventListener('abort', onAbort);
    aborted.catch(() => {});
  }
}

const NONE: readonly (string | undefined)[] = ['ENOTFOUND', 'ENODATA'];

function unanswered(service: string, cause: unknown): RdmaError {
  const { code } = cause as NodeJS.ErrnoException;
  const what = NONE.includes(code)
    ? `DNS has no SRV records of ${service}; it takes the full name, as search domains are not tried`
    : `DNS did not tell the servers of ${service} (${code ?? String(cause)})`;
  return new RdmaError('ERR_RDMA_NO_SERVER', what, { cause });
}
