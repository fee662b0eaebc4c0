// The rings of a port: how it meets other ports of this host, proves its address to them and checks theirs.
//
// A port that offers rings listens on a UNIX socket with an abstract name made of its UDP address. Who wants to send to
// that address connects, and both show each other what only the kernel can say:
// - The other process has our user ID (SO_PEERCRED).
// - It holds a UDP socket that is bound to the address in question, in our network namespace: it passes that socket along
//   (SCM_RIGHTS), and the address is of this host.
// Then the ring that came along is mapped, and every packet in it has that address as its source, whatever it says. One
// ring carries one direction; there is another one for the way back. The connection stays: a byte in it wakes a reader
// that sleeps, and its end, also that of the process, ends the ring.
//
// Whatever fails here leaves packets to UDP, and nothing else happens. No file is made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "counters.h"
#include "icrc.h"
#include "ring.h"

namespace queuepair {

// A descriptor that is closed with its owner.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept;
  Descriptor(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// The way to a port. Packets use it between the peer's welcome and the end of the connection.
class OutboundRing {
 public:
  OutboundRing(const Address& to, Descriptor connection, std::unique_ptr<RingMemory> memory)
      : to_(to), connection_(std::move(connection)), memory_(std::move(memory)), writer_(*memory_) {}

  bool is_up() const { return state_ == kUp; }
  // Whether packets went through it: from then on none goes by UDP while it is up, which would be overtaken.
  bool is_used() const { return is_used_; }
  // As `RingWriter` has them. Only while it is up.
  RingWriter& writer() { return writer_; }
  // Makes the reader see what was committed, and wakes it if it sleeps; whether that was so.
  bool Publish();

 private:
  friend class RingHub;
  enum State { kWaiting, kUp, kDown };

  const Address to_;
  Descriptor connection_;
  std::unique_ptr<RingMemory> memory_;
  RingWriter writer_;
  State state_ = kWaiting;
  bool is_used_ = false;
};

// The way from a port.
struct InboundRing {
  InboundRing(const Address& from_, int32_t number_, Descriptor connection_, std::unique_ptr<RingMemory> memory_)
      : from(from_),
        number(number_),
        connection(std::move(connection_)),
        memory(std::move(memory_)),
        reader(*memory) {}

  const Address from;
  // Never used again in the life of a port.
  const int32_t number;
  Descriptor connection;
  const std::unique_ptr<RingMemory> memory;
  RingReader reader;
  // What the peer has sent by UDP before was taken in: the first packets of the ring come behind it.
  bool is_started = false;
  // The peer is gone; what it left is still taken.
  bool has_ended = false;
};

class RingHub {
 public:
  // For the port that has this UDP socket. nullptr where the system has no rings to offer.
  static std::unique_ptr<RingHub> Open(int udp, const Address& own, Counters* counters);

  // Readable when `Maintain` has something to do.
  int fd() const { return events_.get(); }
  // The way to `to`, in whatever state; nullptr where there is none.
  std::shared_ptr<OutboundRing> Reach(const Address& to);
  // Meets who has come, and parts from who has gone. Does not wait.
  void Maintain();

  const std::vector<std::unique_ptr<InboundRing>>& inbound() const { return inbound_; }
  bool HasNews() const;
  void SetSleeping(bool is_sleeping);
  // Those that are of no more use: they have ended and are empty, or were written to against the rules.
  void RemoveSpent();
  size_t size() const { return inbound_.size() + outbound_.size(); }

 private:
  RingHub(int udp, const Address& own, Counters* counters) : udp_(udp), own_(own), counters_(counters) {}

  bool Listen();
  bool Watch(int fd);
  void Accept();
  void OnReadable(int fd);
  bool TakeHello(Descriptor connection);
  void TakeWelcome(OutboundRing& ring);
  void Drain(InboundRing& ring);
  bool IsProven(int udp, const Address& claimed) const;

  const int udp_;
  const Address own_;
  Counters* const counters_;
  Descriptor listener_;
  // There was no descriptor for who has come: nobody else is met until there is something to do again.
  bool is_deaf_ = false;
  Descriptor events_;
  // Connections whose hello has not come.
  std::vector<Descriptor> strangers_;
  std::vector<std::unique_ptr<InboundRing>> inbound_;
  std::vector<std::shared_ptr<OutboundRing>> outbound_;
  int32_t next_number_ = 1;
};

}  // namespace queuepair
