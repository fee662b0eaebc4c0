/** The functions of the addon that watch network interfaces (native/link_binding.cc). */
export interface LinkAddon {
  /**
   * Calls `onChange` from the event loop after anything about the interfaces or addresses of this network namespace has
   * changed. Returns what `unwatchLinks` takes, or a negative errno. Does not keep the process alive.
   */
  watchLinks(onChange: () => void): number | undefined;
  unwatchLinks(watch: number): void;
}
