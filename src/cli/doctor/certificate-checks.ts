/** Looks at the certificates that a client would show, and at the clock by which they are judged. Makes none. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultCertificateDir } from '../../certificates/dev-certificates.js';
import { distinguishedName, shownName } from '../../session/peer-identity.js';
import type { ClientCertificateFlags } from '../certificates.js';
import { type Finding, ok, problem, skipped, warning } from './finding.js';

const DAY_MILLIS = 86_400_000;
const SOON_DAYS = 14;
/** This program is not older. */
const EARLIEST = Date.UTC(2026, 0, 1);

export function checkClock(now: number): Finding {
  const text = `the clock says ${new Date(now).toISOString()}`;
  if (now >= EARLIEST) return ok('clock', text);
  return problem('clock', 'clock-wrong', text, 'set the clock: certificates are judged by it');
}

export async function checkCertificates(flags: ClientCertificateFlags, now: number): Promise<Finding[]> {
  const { ca, cert, key } = flags;
  if (cert !== undefined && key !== undefined) {
    const authority = ca === undefined ? [] : [await checkOne('authority', ca, undefined, now)];
    return [...authority, await checkOne('certificate', cert, key, now)];
  }
  if (cert !== undefined || key !== undefined) {
    const advice = 'give both --cert and --key';
    return [
      problem(
        'certificate',
        'certificate-missing',
        'a certificate needs its key, and a key its certificate',
        advice,
      ),
    ];
  }
  const authority = ca === undefined ? [] : [await checkOne('authority', ca, undefined, now)];
  if (ca !== undefined) return [...authority, ok('certificate', 'none is shown: servers may ask for one')];
  let dir: string;
  try {
    dir = flags.devCerts ?? defaultCertificateDir();
    await readFile(join(dir, 'client.pem'));
  } catch {
    return [
      skipped('certificate', 'there are no development certificates yet; they are made when they are needed'),
    ];
  }
  return [
    await checkOne('authority', join(dir, 'ca.pem'), undefined, now),
    await checkOne('certificate', join(dir, 'client.pem'), join(dir, 'client-key.pem'), now),
  ];
}

async function checkOne(
  check: string,
  path: string,
  keyPath: string | undefined,
  now: number,
): Promise<Finding> {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(await readFile(path));
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return isMissing
      ? problem(check, 'certificate-missing', `${path} does not exist`, 'name the file that it is in')
      : problem(
          check,
          'certificate-unusable',
          `${path} holds no certificate that can be read: ${(error as Error).message}`,
          'name a PEM file that this user may read',
        );
  }
  const subject = shownName(distinguishedName(certificate.subject));
  const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  const day = (millis: number): string => new Date(millis).toISOString().slice(0, 10);
  if (to < now)
    return problem(
      check,
      'certificate-expired',
      `${path} (${subject}) has expired on ${day(to)}`,
      'renew it; if that day has not come, set the clock',
    );
  if (from > now)
    return problem(
      check,
      'certificate-not-yet-valid',
      `${path} (${subject}) is not valid before ${day(from)}`,
      'set the clock of this machine, or wait',
    );
  const keyFinding = keyPath === undefined ? undefined : await checkKey(check, path, keyPath, certificate);
  if (keyFinding !== undefined) return keyFinding;
  const daysLeft = Math.floor((to - now) / DAY_MILLIS);
  if (daysLeft < SOON_DAYS)
    return warning(
      check,
      'certificate-expires-soon',
      `${path} (${subject}) expires in ${daysLeft} days`,
      'renew it',
    );
  return ok(check, `${subject}, valid until ${day(to)}`);
}

async function checkKey(
  check: string,
  path: string,
  keyPath: string,
  certificate: X509Certificate,
): Promise<Finding | undefined> {
  try {
    if (certificate.checkPrivateKey(createPrivateKey(await readFile(keyPath)))) return undefined;
  } catch (error) {
    return problem(
      check,
      'certificate-unusable',
      `${keyPath} holds no key that can be read: ${(error as Error).message}`,
      'name a PEM file without a passphrase that this user may read',
    );
  }
  return problem(
    check,
    'key-mismatch',
    `${keyPath} is not the key of ${path}`,
    'give the two that belong together',
  );
}
