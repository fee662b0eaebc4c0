// A ring of packets in memory that two processes of one user share: one writes, the other reads. The memory is a memfd,
// which has no name in any file system and goes with its last process.
//
// Nothing that the other process writes is trusted. Each end keeps its own position to itself; of the other end's it
// reads a position, and the reader a length, once each, into its own memory, and checks them before use. A packet is
// copied out before anybody looks at it. The memory cannot shrink (F_SEAL_SHRINK), so that no access faults.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace queuepair {

// A power of two.
constexpr size_t kRingBytes = 2 * 1024 * 1024;
// Headers, the largest payload, pad and ICRC.
constexpr size_t kRingPacketBytes = 64 + 4096 + 3 + 4;

// What both ends see in front of the packets, each word on a cache line of its own.
struct RingWords {
  // How many bytes were ever written, modulo 2^32. The writer's.
  alignas(64) uint32_t written;
  // How many of them the reader is done with. The reader's.
  alignas(64) uint32_t taken;
  // 1: the reader sleeps. It sets the word, and whoever clears it wakes the reader.
  alignas(64) uint32_t is_sleeping;
};

// The memory, with the packets mapped twice in a row, so that each lies in one piece.
class RingMemory {
 public:
  // New memory, with its descriptor. nullptr if the system gives none.
  static std::unique_ptr<RingMemory> Create(int* fd);
  // That of another process; nullptr unless `fd` is sealed memory of the right size.
  static std::unique_ptr<RingMemory> Adopt(int fd);
  ~RingMemory();
  RingMemory(const RingMemory&) = delete;
  RingMemory& operator=(const RingMemory&) = delete;

  RingWords* words() const { return reinterpret_cast<RingWords*>(base_); }
  // For `position` modulo 2^32, with room for the largest packet behind it.
  uint8_t* At(uint32_t position) const;

 private:
  explicit RingMemory(uint8_t* base) : base_(base) {}
  static std::unique_ptr<RingMemory> Map(int fd);

  uint8_t* const base_;
};

class RingWriter {
 public:
  explicit RingWriter(const RingMemory& memory) : memory_(memory) {}

  // Where a packet of `length` bytes goes, at most kRingPacketBytes; nullptr when there is no room.
  uint8_t* Reserve(size_t length);
  // The packet is there, and the reader may see it after `Publish`.
  void Commit(size_t length, uint8_t traffic_class, uint8_t hop_limit);
  void Publish();
  // After `Publish`: whether the reader sleeps, and this call is the one that has to wake it.
  bool TakeSleeper();

 private:
  const RingMemory& memory_;
  uint32_t written_ = 0;
  // As far as is known.
  uint32_t taken_ = 0;
};

// A packet that was taken out.
struct RingPacket {
  size_t length;
  uint8_t traffic_class;
  uint8_t hop_limit;
};

class RingReader {
 public:
  explicit RingReader(const RingMemory& memory) : memory_(memory) {}

  // Whether something was written since the last `End`.
  bool HasNews() const;
  // Between Begin and End: copies the next packet to `out`, which has room for kRingPacketBytes. False behind the last.
  void Begin();
  bool Take(uint8_t* out, RingPacket* packet);
  void End();
  // The writer has broken the rules. What it wrote since is thrown away, and the ring is of no more use.
  bool has_fault() const { return has_fault_; }
  void SetSleeping(bool is_sleeping);

 private:
  void Fail();

  const RingMemory& memory_;
  uint32_t taken_ = 0;
  uint32_t written_ = 0;
  bool has_fault_ = false;
};

}  // namespace queuepair
