/**
 * A virtual disk whose blocks come from a program: each is made when a host reads it, and what a host writes is kept in a Map:
 *
 *   node examples/nvme-disk.mjs
 *
 * A Linux host that reaches the device has it as /dev/nvme0n1: nvme connect -t rdma -a ADDRESS -n nqn.2026-01.org.example:virtual
 */
import { connectNvme, openDevice, serveNvme } from 'queuepair/nvme';

const NQN = 'nqn.2026-01.org.example:virtual';
const BLOCK = 4096;
const written = new Map();

const disk = {
  blockBytes: BLOCK,
  sizeBytes: 2 ** 40, // A TiB of which nothing exists.
  read(offset, into) {
    for (let at = 0; at < into.length; at += BLOCK) {
      const number = (offset + at) / BLOCK;
      into.set(written.get(number) ?? Buffer.alloc(BLOCK, `I am block ${number}. `), at);
    }
  },
  write(offset, from) {
    // The memory is the target's again afterwards: keep copies.
    for (let at = 0; at < from.length; at += BLOCK)
      written.set((offset + at) / BLOCK, from.slice(at, at + BLOCK));
  },
  flush() {}, // A disk that promises more than memory makes it durable here.
};

const device = await openDevice('soft:127.0.0.1');
const target = await serveNvme({ device, port: 0, subsystems: { [NQN]: { namespaces: [disk] } } });

const hostDevice = await openDevice('soft:127.0.0.2');
const { udpPort } = await device.queryPort();
const { port } = target.address;
const controller = await connectNvme({ device: hostDevice, host: '127.0.0.1', port, udpPort, nqn: NQN });
const namespace = controller.namespace(1);
const block = Buffer.alloc(BLOCK);

await namespace.read(123_456 * BLOCK, block);
console.log(`${namespace.sizeBytes / 2 ** 40} TiB: ${block.toString('latin1', 0, 18)}`);
await namespace.write(7 * BLOCK, Buffer.alloc(BLOCK, 'what I wrote. '));
await namespace.flush();
await namespace.read(7 * BLOCK, block);
console.log(`block 7 has ${block.toString('latin1', 0, 13)}; ${written.size} block is kept`);

await controller.close();
await target.close();
await hostDevice.close();
await device.close();
