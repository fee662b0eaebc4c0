/** Why each step exists, for those who see it for the first time. */
import { StepName } from '../../connection/common/steps.js';

export const EXPLANATIONS: Readonly<Partial<Record<StepName, string>>> = {
  [StepName.TLS]:
    'The client has checked the certificate and the name of the server, the server the certificate of the client.',
  [StepName.PSN_EXCHANGED]:
    'A PSN numbers the packets of one direction; who guesses it can forge them. So each side draws 24 random bits, and\n' +
    'tells them only through TLS. No RDMA object exists yet: strangers cost nothing.',
  [StepName.OBJECTS_CREATED]:
    'The domain ties memory to queue pairs; finished work is reported in the completion queues; the queue pair is one\n' +
    'end of the conversation; only registered memory may be touched by the device. All of it is of this client alone.',
  [StepName.PARAMETERS_EXCHANGED]:
    'Through TLS, too: queue pair number, address, path MTU, and where the memory is that the peer may write and read.',
  [StepName.RTR]:
    'From here on the device takes packets of this peer, and only in sequence from the exchanged PSN on.',
  [StepName.RECEIVES_POSTED]: 'What a peer sends lands in a receive that was posted before it came.',
  [StepName.READY]:
    'All that follows goes from device to device, over UDP; TLS stays open to notice when the peer goes.',
  [StepName.MEMORY_DEREGISTERED]: 'Everything goes in the opposite order of its making.',
};

export const FILES_EXPLAINED =
  'Each file goes to the server in messages, which echoes them; then RDMA writes put it into the memory of the server, and\n' +
  'RDMA reads fetch it from there without its program. SHA-256 is taken in 5 places: on disk, of what the server received,\n' +
  'of the echo, of what the server found in its memory, and of what was read back.';
