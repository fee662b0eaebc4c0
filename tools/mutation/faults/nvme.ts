/** Faults of disks over NVMe, both ends. */
import { faultsOf } from '../fault-list.js';

const FILE = 'nvme/backends/file-backend';
const QUEUE = 'nvme/target/target-queue';
const TARGET = 'nvme/target/nvme-target';
const WATCH = 'nvme/target/host-watch';
const REQUEST = 'nvme/target/request';
const IO_WORK = 'nvme/target/io-work';
const ADMIN = 'nvme/host/admin';
const NAMESPACE = 'nvme/host/namespace';

const ROUTER = 'nvme/host/command-router';
const RECONNECT_JUDGES = ['test/nvme/reconnect', 'test/nvme/host-life'];
const HOST_JUDGES = ['test/nvme/silence', 'test/nvme/host'];

export const NVME_FAULTS = faultsOf(
  'nvme',
  ['test/nvme/backends', 'test/nvme/endings', 'test/nvme/target', 'test/nvme/host'],
  [
    {
      id: 'nvme-file-not-durable',
      wrong: 'A durable write of a file is not synced.',
      file: FILE,
      find: '    await this.#writeAll(offsetBytes, from, from.length);\n    if (durable) await this.#sync();\n',
      replace: '    await this.#writeAll(offsetBytes, from, from.length);\n',
    },
    {
      id: 'nvme-sync-failure-forgotten',
      wrong: 'A flush succeeds after one that failed.',
      file: FILE,
      find: '        this.#syncFailure ??= unsynced(error);\n',
      replace: '        throw unsynced(error);\n',
    },
    {
      id: 'nvme-durable-ignored',
      wrong: 'The disk does not hear that a write must be durable.',
      file: IO_WORK,
      find: '(isDurable ? DURABLE : VOLATILE)',
      replace: '(isDurable ? VOLATILE : VOLATILE)',
    },
    {
      id: 'nvme-shut-down-unflushed',
      wrong: 'A controller is shut down without a flush.',
      file: TARGET,
      find: '      await flushAll(controller.subsystem);\n',
      replace: '',
    },
    {
      id: 'nvme-shut-down-failure-hidden',
      wrong: 'A controller whose disks could not be flushed says that it is shut down.',
      file: TARGET,
      find: '      controller.fail();\n      this.#tellBackendError(controller, error);\n',
      replace: '      controller.shutDownDone();\n      this.#tellBackendError(controller, error);\n',
      judges: HOST_JUDGES,
    },
    {
      id: 'nvme-old-write-overtakes',
      wrong: 'A host that comes again does not wait for controllers that still live.',
      file: TARGET,
      find: 'queue.qid === 0 ? former.map((one) => one.leftBackends()) : []',
      replace: '[]',
    },
    {
      id: 'nvme-left-too-early',
      wrong: 'A request counts as done by its backend as soon as somebody asks.',
      file: REQUEST,
      find: 'this.#tellLeft = resolve;',
      replace: 'resolve();',
    },
    {
      id: 'nvme-judged-after-pause',
      wrong: 'Hosts are judged right after the program paused.',
      file: WATCH,
      find: '    if (this.#hasSpared) return;\n',
      replace: '',
    },
    {
      id: 'nvme-stall-from-old-time',
      wrong: 'The time of a backend counts as that of the host.',
      file: QUEUE,
      find: 'if (this.#outstanding === 0) this.#progressMillis = this.services.nowMillis();',
      replace: 'if (this.#outstanding === 0) this.#progressMillis = this.#nowMillis;',
    },
    {
      id: 'nvme-buffer-not-cleared',
      wrong: "A disk that fills less than it was asked for gives away another host's bytes.",
      file: IO_WORK,
      find: '  if (!fillsReads) into.fill(0);\n',
      replace: '',
    },
    {
      id: 'nvme-fatal-ignored',
      wrong: 'A host does not notice that a controller failed when it was shut down.',
      file: ADMIN,
      find: "      if ((status & CSTS_FATAL) !== 0) throw protocolError('the controller failed when it was shut down');\n",
      replace: '      if ((status & CSTS_FATAL) !== 0) return;\n',
      judges: HOST_JUDGES,
    },
    {
      id: 'nvme-part-seems-undone',
      wrong: 'A write of which a part was done seems not to have left.',
      file: NAMESPACE,
      find: 'throw hasNotLeft(first) && !hasNothingLeft ?',
      replace: 'throw hasNotLeft(first) && hasNothingLeft ?',
      judges: HOST_JUDGES,
    },
    {
      id: 'nvme-flush-covers-all',
      wrong: 'A flush of a host covers what is written after it.',
      file: 'nvme/host/write-ledger',
      find: 'return this.#written > this.#covered;',
      replace: 'return this.#covered === 0 && this.#written > 0;',
      judges: HOST_JUDGES,
    },
    {
      id: 'nvme-short-write-succeeds',
      wrong: 'A write that the file did not take succeeds.',
      file: FILE,
      find: "      if (bytesWritten === 0) throw new RdmaError('ERR_RDMA_LIMIT', 'the file takes no more bytes');\n",
      replace: '      if (bytesWritten === 0) return;\n',
    },
    {
      id: 'nvme-folder-not-synced',
      wrong: 'A file that was made may lose its name in a crash.',
      file: FILE,
      find: '    if (wanted !== undefined) await syncFolder(path);\n',
      replace: '',
    },
    {
      id: 'nvme-trim-twice',
      wrong: 'A trim clears a block as often as the host names it.',
      file: 'nvme/target/io-request',
      find: 'return merged(ranges);',
      replace: 'return ranges;',
    },
    {
      id: 'nvme-beyond-the-end',
      wrong: 'A command may reach beyond the end of its namespace by a block.',
      file: 'nvme/target/io-request',
      find: 'if (first >= blocks || count > blocks - first) return Status.LBA_OUT_OF_RANGE;',
      replace: 'if (first >= blocks || count > blocks - first + 1) return Status.LBA_OUT_OF_RANGE;',
    },
    {
      id: 'nvme-host-names-ignored',
      wrong: 'Every host may come.',
      file: 'nvme/target/registry',
      find: '    if (!isAllowed(subsystem, hostNqn)) return refused(Status.CONNECT_INVALID_HOST);\n',
      replace: '',
    },
    {
      id: 'nvme-silent-for-ever',
      wrong: 'A controller is never silent for too long.',
      file: 'nvme/target/controller',
      find: 'return this.#keepAliveMillis > 0 && nowMillis',
      replace: 'return this.#keepAliveMillis < 0 && nowMillis',
    },
    {
      id: 'nvme-stalled-never',
      wrong: 'The time of a host that takes nothing begins anew with every command that it sends.',
      file: QUEUE,
      find: '      this.#nowMillis = this.services.nowMillis();\n',
      replace:
        '      this.#nowMillis = this.services.nowMillis();\n      this.#progressMillis = this.#nowMillis;\n',
    },
    {
      id: 'nvme-half-met-kept',
      wrong: 'A queue whose target closes while it is being met stays connected.',
      file: QUEUE,
      find: '      await connection.disconnect();\n      return;\n',
      replace: '      return;\n',
    },
    {
      id: 'nvme-waits-for-connect-only',
      wrong: 'A Connect that waits for others counts as late.',
      file: WATCH,
      find: 'if (queue.controller !== undefined || this.#watched.isConnecting(queue)) return false;',
      replace: 'if (queue.controller !== undefined) return false;',
    },
    {
      id: 'nvme-late-answer-awaited',
      wrong: 'A command without an answer waits for ever.',
      file: 'nvme/host/host-queue',
      find: '          : setTimeout(() => this.#onLate(pending, timeoutMillis), timeoutMillis);',
      replace: '          : setTimeout(() => {}, timeoutMillis);',
      judges: HOST_JUDGES,
    },
    {
      id: 'nvme-waiting-parts-leave',
      wrong: 'Parts of a write still leave after one has failed.',
      file: 'nvme/host/host-queue',
      find: 'if (pending.command.batch !== batch) continue;',
      replace: 'if (pending.command.batch !== null) continue;',
      judges: HOST_JUDGES,
    },
    {
      id: 'nvme-writes-repeated-unasked',
      wrong: 'Writes of unknown outcome are sent again, whatever the program allowed.',
      file: ROUTER,
      find: 'return this.#repeatsWrites && !routed.isContested;',
      replace: 'return !routed.isContested;',
      judges: RECONNECT_JUDGES,
    },
    {
      id: 'nvme-repetition-undoes',
      wrong: 'A write is sent again although another one for its blocks was under way.',
      file: ROUTER,
      find: 'return this.#repeatsWrites && !routed.isContested;',
      replace: 'return this.#repeatsWrites;',
      judges: RECONNECT_JUDGES,
    },
    {
      id: 'nvme-lost-cache-flushed',
      wrong: 'A flush covers what a controller confirmed that is gone.',
      file: 'nvme/host/write-ledger',
      find: 'return !isDoubtful;',
      replace: 'return true;',
      judges: RECONNECT_JUDGES,
    },
    {
      id: 'nvme-repetition-overtaken',
      wrong: 'What comes later leaves while writes are sent again.',
      file: ROUTER,
      find: 'return this.#repeating.size > 0 && !this.#repeating.has(routed) ? undefined : this.#line;',
      replace: 'return this.#line;',
      judges: RECONNECT_JUDGES,
    },
    {
      id: 'nvme-opened-too-early',
      wrong: 'The next controller is asked for while queues of the former one may still send.',
      file: 'nvme/host/session-keeper',
      find: '      await this.#silenced;\n',
      replace: '',
      judges: RECONNECT_JUDGES,
    },
    {
      id: 'nvme-part-before-loss-forgotten',
      wrong: 'A write that was confirmed by two controllers counts as that of the later one.',
      file: NAMESPACE,
      find: '      firstEpoch = Math.min(firstEpoch, epoch);\n    };',
      replace: '      firstEpoch = epoch;\n    };',
      judges: RECONNECT_JUDGES,
    },
    {
      id: 'nvme-other-disk-taken',
      wrong: 'Another disk under the same name is taken for the one before.',
      file: 'nvme/host/nvme-session',
      find: 'if (same.blocks !== blocks || same.blockBytes !== blockBytes)',
      replace: 'if (same.blocks !== blocks && same.blockBytes !== blockBytes)',
      judges: RECONNECT_JUDGES,
    },
    {
      id: 'nvme-comparison-blind',
      wrong: 'A comparison finds every block equal.',
      file: IO_WORK,
      find: 'wanted.subarray(at, at + found.length)) !== 0;',
      replace: 'wanted.subarray(at, at + found.length)) === 2;',
    },
  ],
);
