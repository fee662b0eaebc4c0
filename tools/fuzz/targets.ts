/**
 * The targets by name, each loaded only when it is wanted. Shares are such that hostile things meet every part; of the
 * wire targets a number takes less time than of the others.
 */
import type { TargetCatalog } from './target.js';

export const TARGETS: TargetCatalog = {
  wire: {
    share: 30,
    create: async () => new (await import('./targets/wire/wire-target.js')).WireTarget(true),
  },
  'wire-noicrc': {
    share: 25,
    create: async () => new (await import('./targets/wire/wire-target.js')).WireTarget(false),
  },
  frames: {
    share: 10,
    create: async () => new (await import('./targets/frames/frames-target.js')).FramesTarget(),
  },
  verbs: {
    share: 10,
    create: async () => new (await import('./targets/verbs/verbs-target.js')).VerbsTarget(),
  },
  messages: {
    share: 12,
    create: async () => new (await import('./targets/messages/messages-target.js')).MessagesTarget(),
  },
  cm: {
    share: 5,
    create: async () => new (await import('./targets/cm/cm-target.js')).CmTarget(),
  },
  nvme: {
    share: 5,
    create: async () => new (await import('./targets/nvme/nvme-target.js')).NvmeFuzzTarget(),
  },
  lifeline: {
    share: 5,
    create: async () => new (await import('./targets/lifeline/lifeline-target.js')).LifelineTarget(),
  },
  rsocket: {
    share: 3,
    create: async () => new (await import('./targets/rsocket/rsocket-target.js')).RsocketTarget(),
  },
  copy: {
    share: 3,
    create: async () => new (await import('./targets/copy/copy-target.js')).CopyTarget(),
  },
  sealed: {
    share: 3,
    create: async () => new (await import('./targets/sealed/sealed-target.js')).SealedTarget(),
  },
};
