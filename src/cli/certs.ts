/** `queuepair certs`: makes the development certificates and shows them. */
import { X509Certificate } from 'node:crypto';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import {
  type DevCertificates,
  defaultCertificateDir,
  loadOrCreateDevCertificates,
} from '../certificates/dev-certificates.js';
import { distinguishedName, shownName, subjectAltNames } from '../session/peer-identity.js';
import { RdmaError } from '../verbs/errors.js';
import { collect } from './arguments.js';
import { withDirectoryFlag } from './certificates.js';
import { ExitCode } from './failure.js';
import { createOutput, type Output } from './output.js';
import { ProgramCommand } from './program-command.js';

const EXAMPLES = `
They are for development on machines of one user: a private authority, a server and a client certificate. The server
certificate holds for localhost, 127.0.0.1, ::1, the name of this host and every --name. Production brings its own.

Examples:
  $ queuepair certs
  $ queuepair certs --name storage-7.test --name 192.0.2.7
  $ queuepair certs --renew                       new ones, also a new authority; the old ones are kept aside`;

const MEMBERS = [
  { role: 'ca', title: 'authority', cert: 'ca.pem', key: 'ca-key.pem' },
  { role: 'server', title: 'server', cert: 'server.pem', key: 'server-key.pem' },
  { role: 'client', title: 'client', cert: 'client.pem', key: 'client-key.pem' },
] as const;

interface CertsFlags {
  readonly devCerts?: string;
  readonly name: readonly string[];
  readonly renew?: boolean;
  readonly json?: boolean;
}

export function certsCommand(): Command {
  return new ProgramCommand('certs')
    .description('make and show the development certificates')
    .option('--dev-certs <dir>', "where they are kept (default: this user's configuration directory)")
    .addOption(
      new Option(
        '--name <host>',
        'a DNS name or IP address that the server certificate shall hold for; may be repeated',
      )
        .argParser(collect)
        .default([], 'those below'),
    )
    .option('--renew', 'replace all of them, the authority too')
    .option('--json', 'one JSON object a line on standard output')
    .addHelpText('after', EXAMPLES)
    .action(async (flags: CertsFlags) => {
      process.exitCode = await certs(flags, createOutput(flags.json === true));
    });
}

async function certs(flags: CertsFlags, output: Output): Promise<number> {
  try {
    return await makeAndShow(flags, output);
  } catch (error) {
    throw withDirectoryFlag(error);
  }
}

async function makeAndShow(flags: CertsFlags, output: Output): Promise<number> {
  const dir = flags.devCerts ?? defaultCertificateDir();
  const found = await loadOrCreateDevCertificates(dir, flags.name);
  const renewal = flags.renew === true && !found.created ? await replaceAll(found, flags.name) : undefined;
  const set = renewal?.set ?? found;
  if (!output.json) {
    output.line(`${set.created ? 'Made' : 'Found'} in ${set.dir}`);
    if (renewal !== undefined)
      output.line(`The old ones are in ${renewal.aside}: remove them when nobody needs them`);
  }
  for (const member of MEMBERS) show(set, member, output);
  return ExitCode.OK;
}

/** Moves the old set aside, as a whole, so that no moment shows a mixture; names that it held for stay. */
async function replaceAll(
  old: DevCertificates,
  names: readonly string[],
): Promise<{ set: DevCertificates; aside: string }> {
  const heldNames = subjectAltNames(new X509Certificate(old.server.certPem)).map((name) =>
    name.replace(/^(DNS|IP):/, ''),
  );
  const fingerprint = new X509Certificate(old.caPem).fingerprint256.replaceAll(':', '').slice(0, 16);
  const aside = `${old.dir}.replaced-${fingerprint.toLowerCase()}`;
  try {
    await rename(old.dir, aside);
  } catch (cause) {
    throw new RdmaError('ERR_RDMA_CERTIFICATE', `cannot move ${old.dir} aside: ${(cause as Error).message}`, {
      cause,
    });
  }
  return { set: await loadOrCreateDevCertificates(old.dir, [...heldNames, ...names]), aside };
}

function show(set: DevCertificates, member: (typeof MEMBERS)[number], output: Output): void {
  const { role, title } = member;
  const pem = role === 'ca' ? set.caPem : set[role].certPem;
  const certificate = new X509Certificate(pem);
  const facts = {
    role,
    path: join(set.dir, member.cert),
    keyPath: join(set.dir, member.key),
    subject: shownName(distinguishedName(certificate.subject)),
    sans: subjectAltNames(certificate),
    fingerprint256: certificate.fingerprint256,
    validTo: new Date(certificate.validTo).toISOString(),
    created: set.created,
  };
  output.event({ event: 'certificate', ...facts });
  const { line, style } = output;
  const daysLeft = Math.floor((Date.parse(certificate.validTo) - Date.now()) / 86_400_000);
  const row = (name: string, text: string): void => line(`  ${name.padEnd(12)}  ${text}`);
  line();
  line(style.bold(title));
  row('subject', facts.subject);
  if (facts.sans.length > 0) row('holds for', facts.sans.join(', '));
  row('valid until', `${facts.validTo.slice(0, 10)} (${daysLeft} days)`);
  row('certificate', facts.path);
  row('key', `${facts.keyPath} (private: keep it to yourself)`);
  row('SHA-256', facts.fingerprint256);
}
