/** What went over the wire between NVMe hosts and targets, as tshark sees it: nothing malformed, and every command answered. */
import type { Capture } from '../capture.js';
import type { Lab } from '../scenario.js';

/** `between`: for people. */
export async function judgeNvmeWire({ results }: Lab, capture: Capture, between: string): Promise<void> {
  await results.run(`tshark understands every capsule, ${between}`, { what: 'wire', between }, async () => {
    const { packets, malformed } = await capture.judge(['nvme-rdma']);
    if (malformed.length > 0)
      throw new Error(`${malformed.length} of ${packets}: ${malformed.slice(0, 3).join(', ')}`);
    return `${packets} packets`;
  });
  await results.run(`every command is answered, ${between}`, { what: 'answers', between }, async () => {
    const { commands, connections, cut, held, unanswered } = await capture.judgeAnswers();
    if (commands === 0) throw new Error('tshark saw no command');
    if (unanswered.length > 0)
      throw new Error(`${unanswered.length} of ${commands}: ${unanswered.slice(0, 5).join(', ')}`);
    return `${commands} commands of ${connections} connections; ${cut} under way when a connection ended, ${held} held`;
  });
}
