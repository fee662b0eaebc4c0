/** The tags of the demo service's messages. They are the service's own: to the library a tag is a number like any other. */

export const ServiceTag = {
  /** To be echoed. */
  DATA: 0,
  /** "My RDMA write has landed in your buffer", with where and how much. */
  WRITE: 1,
  WELCOME: 2,
  ECHO: 3,
  /** The answer to WRITE, with the hash of what was found there. */
  WRITE_ACK: 4,
} as const;
export type ServiceTag = (typeof ServiceTag)[keyof typeof ServiceTag];

const TAG_NAMES = Object.keys(ServiceTag).map((name) => name.toLowerCase());

export const serviceTagName = (tag: number): string => TAG_NAMES[tag] ?? `tag ${tag}`;
