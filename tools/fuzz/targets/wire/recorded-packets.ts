/**
 * Packets to begin with: published and captured ones, and those of a conversation between two engines that is held when
 * the fuzzer starts. From the BTH to the ICRC.
 */

import { AccessFlags } from '../../../../src/verbs/access-flags.js';
import { QpType } from '../../../../src/verbs/qp-state.js';
import { WrOpcode } from '../../../../src/verbs/work-request.js';
import { NicPair } from '../../../../testkit/nic-pair.js';
import { fromHex, WORKED_PACKETS } from '../../../../testkit/worked-packets.js';

export function recordedPackets(): readonly Uint8Array[] {
  const worked = WORKED_PACKETS.map(({ hex }) => {
    const packet = fromHex(hex);
    return packet.subarray((packet[0] as number) >> 4 === 4 ? 28 : 48);
  });
  return [...worked, ...recordConversation(QpType.RC), ...recordConversation(QpType.UC)];
}

/** Every kind of request once, and a SEND that finds no receive. */
function recordConversation(type: QpType): readonly Uint8Array[] {
  const pair = new NicPair({ mtu: 256, type });
  const [client, server] = pair.sides;
  const source = client.region(600, AccessFlags.LOCAL_WRITE, 1).region;
  const { region, grant } = server.region(600, 15);
  const remote = { remoteVa: grant.va, rkey: grant.rkey };
  const whole: [typeof source, number, number] = [source, 0, 600];
  for (let i = 0; i < 3; i++) server.postRecv(i, region);
  client.post({ opcode: WrOpcode.SEND }, whole);
  client.post({ opcode: WrOpcode.SEND_WITH_IMM, imm: 7 }, [source, 0, 5]);
  client.post({ opcode: WrOpcode.RDMA_WRITE, ...remote }, whole);
  client.post({ opcode: WrOpcode.RDMA_WRITE_WITH_IMM, imm: 8, ...remote }, [source, 0, 16]);
  if (type === QpType.RC) {
    client.post({ opcode: WrOpcode.RDMA_READ, ...remote }, whole);
    client.post({ opcode: WrOpcode.ATOMIC_FETCH_AND_ADD, compareAdd: 1n, ...remote }, [source, 0, 8]);
    client.post({ opcode: WrOpcode.ATOMIC_CMP_AND_SWP, swap: 1n, ...remote }, [source, 0, 8]);
    client.post({ opcode: WrOpcode.SEND }, [source, 0, 1]);
  }
  pair.run(() => pair.now > 100_000);
  return pair.sent.slice(0, 64).map(({ bytes }) => bytes);
}
