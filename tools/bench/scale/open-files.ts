/** How many descriptors this process and its children may have open: each connection needs one at either end. */

/** What a process needs besides its connections: the device, standard streams, files that load. */
const SPARE_DESCRIPTORS = 100;

/** The limit in force; Node.js has raised it as far as the system lets it. */
export function openFilesLimit(): number {
  const { userLimits } = process.report.getReport() as unknown as {
    readonly userLimits?: { readonly open_files?: { readonly soft: number | string } };
  };
  const limit = userLimits?.open_files?.soft;
  return typeof limit === 'number' ? limit : Number.POSITIVE_INFINITY;
}

/** The sentence for a limit that is too low for so many connections; `undefined` when it is enough. */
export function tooFewDescriptors(connections: number, limit: number): string | undefined {
  const needed = connections + SPARE_DESCRIPTORS;
  if (limit >= needed) return undefined;
  return (
    `${connections} connections need ${needed} descriptors in each process, and 'ulimit -n' allows ${limit}: ` +
    `raise it ('ulimit -n ${needed}') or choose fewer with --connections`
  );
}
