/** What keeps a socket of the operating system from listening, in words that say what to do; they go behind where it should listen. */

const WORDS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program uses that port; choose another port or stop that program',
  EACCES: 'this user may not listen on that port; choose one above 1023',
  EPERM: 'this user may not listen on that port; choose one above 1023',
  EADDRNOTAVAIL: 'no network interface of this machine has that address; give one of its own',
  EAFNOSUPPORT: 'this machine has no addresses of that kind',
  ENOTFOUND: 'that name does not resolve',
  EAI_AGAIN: 'that name does not resolve now',
  EMFILE: 'this process has no file descriptor left (ulimit -n)',
};

export function listenFault(cause: unknown): string {
  const { code = '', message } = cause as NodeJS.ErrnoException;
  return WORDS[code] ?? message;
}
