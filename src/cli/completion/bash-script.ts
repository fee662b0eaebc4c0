/** Completion for bash, and for zsh by its own emulation of bash's. */
import type { CommandWords } from './command-words.js';

export function bashScript(commands: readonly CommandWords[]): string {
  return `# Completion of queuepair for bash.
_queuepair() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} path='' words='' word i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path:\${COMP_WORDS[i]}" in
${commands.flatMap(stepsDown).join('\n')}
    esac
  done
  case "$path:$prev" in
${commands.flatMap(valueCases).join('\n')}
  esac
  case "$path" in
${commands.map(wordCase).join('\n')}
  esac
  if [[ $cur == -* || -n $below ]]; then COMPREPLY=($(compgen -W "$words" -- "$cur")); fi
}
complete -o default -F _queuepair queuepair
`.replace("path='' words=''", "path='' words='' below=''");
}

export const zshScript = (commands: readonly CommandWords[]): string =>
  `# Completion of queuepair for zsh.\nautoload -U +X bashcompinit && bashcompinit\n${bashScript(commands)}`;

const name = (path: readonly string[]): string => path.join(' ');

const stepsDown = ({ path, below }: CommandWords): string[] =>
  below.map((word) => `      "${name(path)}:${word}") path="${name([...path, word])}" ;;`);

function valueCases({ path, options }: CommandWords): string[] {
  return options.flatMap(({ names, value }) => {
    if (value === 'none') return [];
    const patterns = names.map((one) => `"${name(path)}:${one}"`).join('|');
    if (value === 'file') return [`    ${patterns}) COMPREPLY=($(compgen -f -- "$cur")); return ;;`];
    const words = value === 'other' ? '' : value.join(' ');
    return [`    ${patterns}) COMPREPLY=($(compgen -W "${words}" -- "$cur")); return ;;`];
  });
}

function wordCase({ path, below, options, choices }: CommandWords): string {
  const words = [...below, ...choices, ...options.map(({ names }) => names[0] ?? '')].join(' ');
  const isClosed = below.length + choices.length > 0 ? '1' : '';
  return `    "${name(path)}") words="${words}" below="${isClosed}" ;;`;
}
