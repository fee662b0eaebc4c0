/**
 * The marks that a long run of communication managers must hit: every change of state, every step at which a program gives
 * up, every message and event, every ending, and the reasons to drop that hosts give each other without malice.
 */

/** Below this number of seeds, a mark may be missing by chance and nothing is concluded from it. */
export const SEEDS_FOR_MARKS = 5000;

const ACTIVE = ['new → req-sent', 'req-sent → rep-received', 'rep-received → established'];
const PASSIVE = ['new → req-received', 'req-received → rep-sent', 'rep-sent → established'];
const BOTH = ['established → dreq-sent', 'established → timewait', 'dreq-sent → timewait', 'timewait → gone'];
/** What a connection can be in the middle of when it ends, or when its host dies with a word. */
const UNFINISHED = { active: ['req-sent', 'rep-received'], passive: ['req-received', 'rep-sent'] };

const endsOf = (side: 'active' | 'passive'): string[] =>
  UNFINISHED[side].flatMap((state) => [`${side} ${state} → timewait`, `${side} ${state} → gone`]);

const all = (what: string, names: string): string[] => names.split(' ').map((name) => `${what} ${name}`);

export const WANTED: readonly string[] = [
  ...[...ACTIVE, ...BOTH].map((change) => `active ${change}`),
  ...[...PASSIVE, ...BOTH].map((change) => `passive ${change}`),
  ...endsOf('active'),
  ...endsOf('passive'),
  ...all('close in', 'req-sent rep-received req-received rep-sent established dreq-sent timewait'),
  ...all('sent', 'REQ MRA REP RTU REJ DREQ DREP SIDR_REQ SIDR_REP'),
  ...all('event', 'request response established rejected unreachable disconnected released'),
  ...all('event', 'lookup-request lookup-answer lookup-unreachable'),
  ...all('rejected with', '4 10 28'),
  'disconnected by peer',
  'disconnected by self',
  'disconnected by self, unanswered',
  'restart with a word',
  'restart without a word',
  'both ends established',
  'established by a packet',
  'calm meeting',
  'patient meeting',
  ...'backlog_full source_limit no_resources stale duplicate unknown_id bad_state'
    .split(' ')
    .map((reason) => `drop_cm_${reason}`),
];
