/** `queuepair/verbs`: the verbs vocabulary and contract. */
export * from './verbs/access-flags.js';
export * from './verbs/address-handle.js';
export * from './verbs/async-event.js';
export * from './verbs/brands.js';
export * from './verbs/completion-queue.js';
export * from './verbs/device.js';
export * from './verbs/errors.js';
export * from './verbs/memory-region.js';
export * from './verbs/memory-window.js';
export * from './verbs/mtu.js';
export * from './verbs/qp-attributes.js';
export * from './verbs/qp-state.js';
export * from './verbs/qp-transitions.js';
export * from './verbs/queue-pair.js';
export * from './verbs/work-completion.js';
export * from './verbs/work-request.js';
