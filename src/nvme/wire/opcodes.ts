/** What commands are called by: opcodes, fabrics types, and the few numbers that select a page, a feature or a property. */

/** Every fabrics command has this opcode; `FabricsType` says which one it is. */
export const FABRICS_OPCODE = 0x7f;

export const FabricsType = { PROPERTY_SET: 0x00, CONNECT: 0x01, PROPERTY_GET: 0x04 } as const;

export const AdminOpcode = {
  GET_LOG_PAGE: 0x02,
  IDENTIFY: 0x06,
  ABORT: 0x08,
  SET_FEATURES: 0x09,
  GET_FEATURES: 0x0a,
  ASYNC_EVENT_REQUEST: 0x0c,
  KEEP_ALIVE: 0x18,
} as const;

export const IoOpcode = {
  FLUSH: 0x00,
  WRITE: 0x01,
  READ: 0x02,
  COMPARE: 0x05,
  WRITE_ZEROES: 0x08,
  DATASET_MANAGEMENT: 0x09,
} as const;

/** What IDENTIFY gives (CNS). */
export const IdentifyPage = {
  NAMESPACE: 0x00,
  CONTROLLER: 0x01,
  ACTIVE_NAMESPACES: 0x02,
  NAMESPACE_DESCRIPTORS: 0x03,
} as const;

export const LogPage = {
  ERRORS: 0x01,
  HEALTH: 0x02,
  FIRMWARE: 0x03,
  EFFECTS: 0x05,
  DISCOVERY: 0x70,
} as const;

export const Feature = {
  VOLATILE_WRITE_CACHE: 0x06,
  NUMBER_OF_QUEUES: 0x07,
  ASYNC_EVENTS: 0x0b,
  KEEP_ALIVE_TIMER: 0x0f,
} as const;

/** Offsets of controller properties. */
export const Property = { CAP: 0x00, VS: 0x08, CC: 0x14, CSTS: 0x1c } as const;

/** NVM command set of the specification's version 1.3. */
export const NVME_VERSION = 0x00010300;

/** The subsystem that every host knows by name. */
export const DISCOVERY_NQN = 'nqn.2014-08.org.nvmexpress.discovery';
