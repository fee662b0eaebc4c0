/** Targets by name. Each is loaded only when it is wanted. */
import type { Target, TargetName } from './target.js';

export async function createTarget(name: TargetName): Promise<Target> {
  switch (name) {
    case 'wire':
    case 'wire-noicrc': {
      const { WireTarget } = await import('./targets/wire/wire-target.js');
      return new WireTarget(name === 'wire');
    }
    case 'frames': {
      const { FramesTarget } = await import('./targets/frames/frames-target.js');
      return new FramesTarget();
    }
    case 'verbs': {
      const { VerbsTarget } = await import('./targets/verbs/verbs-target.js');
      return new VerbsTarget();
    }
    case 'messages': {
      const { MessagesTarget } = await import('./targets/messages/messages-target.js');
      return new MessagesTarget();
    }
  }
}
