// The rings of a port: how it meets other ports of this host, proves its address to them and checks theirs.
//
// A port that offers rings listens on a UNIX socket with an abstract name made of its UDP address. Who wants to send to
// that address connects, and says hello with a random word, the ring, and the address that it sends from. From that
// address it sends the word by UDP, with a second one, which comes back over the connection. So both know what only the
// kernel can say:
// - The other process has our user ID (SO_PEERCRED).
// - Whoever said hello can send from the address that it claims: it is the source of a datagram with the word.
// - Whoever answers takes in what is sent to the address that was meant: it knows the second word.
// Then the ring that came along is mapped, and every packet in it has that address as its source, whatever it says. So
// nobody can do through a ring what he cannot do by UDP, and no socket is passed on. One ring carries one direction; there is
// another one for the way back. The connection stays: a byte in it wakes a reader that sleeps, and its end, also that of
// the process, ends the ring.
//
// Whatever fails here leaves packets to UDP, and nothing else happens. No file is made.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "counters.h"
#include "icrc.h"
#include "ring.h"
#include "unix_message.h"

namespace queuepair {

using RandomWord = std::array<uint8_t, 16>;

// The first message of who sends, with the ring. Both ends are of one host: its byte order.
struct RingHello {
  char magic[12];
  uint32_t ring_bytes;
  Address source;
  Address destination;
  RandomWord word;
};

// By UDP, from the source of the hello to its destination. No packet of RoCE begins with this byte.
struct RingProof {
  char magic[16];
  // That of the hello, and the one that comes back.
  RandomWord word;
  RandomWord answer;
};

// The way to a port. Packets use it between the peer's welcome and the end of the connection.
class OutboundRing {
 public:
  OutboundRing(const Address& to, uint64_t asked_at_millis, const RandomWord& answer, Descriptor connection,
               std::unique_ptr<RingMemory> memory)
      : to_(to),
        asked_at_millis_(asked_at_millis),
        answer_(answer),
        connection_(std::move(connection)),
        memory_(std::move(memory)),
        writer_(*memory_) {}

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
  const uint64_t asked_at_millis_;
  const RandomWord answer_;
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
  // The way to `to`, in whatever state; nullptr where there is none. `now_millis` is of a monotonic clock.
  std::shared_ptr<OutboundRing> Reach(const Address& to, uint64_t now_millis);
  // Whether now is the time to ask somebody again who was asked before. Not often, however many there are to ask.
  bool MayAskAgain(uint64_t now_millis);
  // Whether the address is one of this host, so that asking again may help.
  bool IsNear(const Address& address);
  // Meets who has come, and parts from who has gone. Does not wait.
  void Maintain();
  // Takes a datagram that is no packet but proves who sends; whether it was one. `Maintain` is due after it.
  bool TakeProof(const Address& source, const uint8_t* bytes, size_t length);
  bool has_proofs() const { return !proofs_.empty(); }

  const std::vector<std::unique_ptr<InboundRing>>& inbound() const { return inbound_; }
  bool HasNews() const;
  void SetSleeping(bool is_sleeping);
  // Those that are of no more use: they have ended and are empty, or were written to against the rules.
  void RemoveSpent();
  size_t size() const { return inbound_.size() + outbound_.size(); }

 private:
  // Who has connected, and perhaps said hello.
  struct Stranger {
    Descriptor connection;
    bool has_said_hello = false;
    RingHello hello{};
    Descriptor ring;
  };
  struct ReceivedProof {
    Address source;
    RingProof proof;
  };

  RingHub(int udp, const Address& own, Counters* counters) : udp_(udp), own_(own), counters_(counters) {}

  bool Listen();
  bool Watch(int fd);
  bool TakeEvents();
  void Accept();
  void OnReadable(int fd);
  bool TakeHello(Stranger& stranger);
  void TakeWelcome(OutboundRing& ring);
  void Drain(InboundRing& ring);
  void CheckProof(const ReceivedProof& received);
  bool Admit(Stranger stranger, const RandomWord& answer);

  const int udp_;
  const Address own_;
  Counters* const counters_;
  Descriptor listener_;
  // There was no descriptor for who has come: nobody else is met until there is something to do again.
  bool is_deaf_ = false;
  Descriptor events_;
  std::vector<Stranger> strangers_;
  // Those that came since `Maintain`.
  std::vector<ReceivedProof> proofs_;
  std::vector<std::unique_ptr<InboundRing>> inbound_;
  std::vector<std::shared_ptr<OutboundRing>> outbound_;
  int32_t next_number_ = 1;
  uint64_t asks_again_at_millis_ = 0;
  // The address that `IsNear` was asked about last, and what it said.
  Address last_asked_{};
  bool is_last_near_ = false;
};

}  // namespace queuepair
