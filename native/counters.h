// What happened in a port; all of it grows only.
#pragma once

#include <cstdint>
#include <map>

namespace queuepair {

struct Counters {
  // System calls that sent something, and the packets in them.
  uint64_t sends = 0;
  uint64_t sent_packets = 0;
  // Of them, calls on the socket that is connected to one peer.
  uint64_t connected_sends = 0;
  // Sends that the kernel splits into packets.
  uint64_t segmented_sends = 0;
  // Sends that waited until the socket had room again.
  uint64_t held_sends = 0;
  // Packets that named memory or flows which are not there.
  uint64_t skipped_packets = 0;
  // Buffers that came in, and the datagrams in them.
  uint64_t receives = 0;
  uint64_t received_datagrams = 0;
  // Datagrams whose IPv4 identification was not the expected one and had to be solved for.
  uint64_t solved_identifications = 0;
  uint64_t ignored_datagrams = 0;
  // Packets that went and came through rings, and readers that had to be woken.
  uint64_t ring_sent_packets = 0;
  uint64_t ring_received_packets = 0;
  uint64_t ring_wakes = 0;
  // Packets that a ring had no room for.
  uint64_t ring_overflows = 0;
  // Times that a peer was asked for a ring.
  uint64_t ring_asks = 0;
  // Rings that ended because the writer broke the rules, and peers that could not show who they are.
  uint64_t ring_faults = 0;
  uint64_t ring_refusals = 0;
  // By errno.
  std::map<int, uint64_t> send_errors;
  std::map<int, uint64_t> receive_errors;
};

}  // namespace queuepair
