/** What a client of a server can do about a certificate that was refused, in the flags of this program: the library knows none. */
import { RdmaError } from '../verbs/errors.js';

/** Runs `work`, which connects; what it fails by says which flag names something else. `devDir`: of the development certificates in use. */
export async function withCertificateAdvice<T>(
  devDir: string | undefined,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const advice = adviceFor(error, devDir);
    if (advice === undefined || !(error instanceof RdmaError)) throw error;
    const { code, refusal } = error;
    throw new RdmaError(code, `${error.message} (${advice})`, {
      cause: error,
      ...(refusal === undefined ? {} : { refusal }),
    });
  }
}

/** By codes alone: whether it is the server's certificate, its name, or ours. */
function adviceFor(error: unknown, devDir: string | undefined): string | undefined {
  if (!(error instanceof RdmaError) || error.refusal !== 'certificate') return undefined;
  const { code = '' } = (error.cause ?? {}) as NodeJS.ErrnoException;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return '--servername NAME says by which of its names it is asked for';
  // Two machines, or two directories, have two development authorities: the most likely reason.
  if (devDir === undefined) return undefined;
  if (code.startsWith('ERR_SSL_'))
    return `shown there: the development certificate in ${devDir}; --cert FILE and --key FILE, or --dev-certs DIR, name another`;
  return `trusted here: the development authority in ${devDir}; --ca FILE or --dev-certs DIR names another`;
}
