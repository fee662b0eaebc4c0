/**
 * What the site calls things: entries by the name that programs import, documents by their headings, in groups by who reads them.
 */
import { Converter } from 'typedoc';

/** Documents by what they are for; all others are for those who work on the project. */
const GROUPS = {
  'First steps': ['tutorial', 'two-machines', 'connections', 'verbs', 'faq'],
  Guides: [
    'troubleshooting',
    'containers',
    'many-machines',
    'hardware',
    'devices',
    'net',
    'streams',
    'rdma-cm',
    'nvme',
    'observability',
    'command-line',
    'copy',
    'same-host',
    'ibverbs-mapping',
  ],
  Reference: [
    'protocol',
    'threat-model',
    'performance',
    'scale',
    'interop',
    'rsocket',
    'rocev2',
    'cm',
    'congestion',
  ],
};
/** Words behind the language are for our tests, and `frame` is no language. */
const FENCE = /^(```\w+) .+$/gm;
const OTHERS = 'Inside the project';

/** @param {import('typedoc').Application} app */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const entry of project.children ?? [])
      entry.name = entry.name === 'index' ? 'queuepair' : `queuepair/${entry.name}`;
    for (const document of project.documents ?? []) {
      const base = document.name.split('/').at(-1) ?? '';
      const group = Object.entries(GROUPS).find(([, names]) => names.includes(base));
      document.frontmatter.group = group?.[0] ?? OTHERS;
      for (const part of document.content)
        if ('text' in part) part.text = part.text.replace(FENCE, '$1').replaceAll('```frame', '```json');
      const [first] = document.content;
      const [, title] = /^# (.+)\n/.exec(first?.text ?? '') ?? [];
      if (title !== undefined) document.name = title.replaceAll('`', '');
    }
  });
}
