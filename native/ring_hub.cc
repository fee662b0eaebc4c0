#include "ring_hub.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "udp_socket.h"

namespace queuepair {
namespace {

// Rings cost memory: who comes later has UDP.
constexpr size_t kMaxRings = 16;
constexpr size_t kMaxStrangers = 16;
constexpr size_t kMaxProofs = 16;
constexpr int kBacklog = 16;
constexpr int kMaxEvents = 16;
constexpr int kMaxAccepts = 8;
// Rounds of events in which the hello is found that belongs to a proof: it was sent before.
constexpr int kMaxRounds = 4;
// Bytes that wake, of one peer at a time: who sends them without end keeps nobody from his turn.
constexpr int kMaxWakes = 64;
// Who has not answered by then will not: the proof was lost, or the peer is stopped.
constexpr uint64_t kAnswerMillis = 1000;
constexpr uint64_t kAskSpacingMillis = 10;

constexpr char kHelloMagic[12] = "qp-ring-2\r\n";
constexpr char kProofMagic[16] = "\xffqp-ring-proof\n";
constexpr char kWelcomeMagic[12] = "qp-ring-ok\n";

// The answer to hello and proof.
struct Welcome {
  char magic[12];
  RandomWord answer;
};

bool IsSame(const Address& a, const Address& b) {
  return a.port == b.port && std::memcmp(a.words, b.words, sizeof(a.words)) == 0;
}

socklen_t NameOf(const Address& address, sockaddr_un* name) {
  *name = {};
  name->sun_family = AF_UNIX;
  // The first byte stays 0: an abstract name, of this network namespace as the address is.
  const int length = std::snprintf(name->sun_path + 1, sizeof(name->sun_path) - 1, "queuepair-ring-%u-%08x%08x%08x%08x-%u",
                                   static_cast<unsigned>(geteuid()), address.words[0], address.words[1],
                                   address.words[2], address.words[3], address.port);
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + static_cast<size_t>(length));
}

bool Draw(RandomWord* word) { return getrandom(word->data(), word->size(), GRND_NONBLOCK) == static_cast<ssize_t>(word->size()); }

bool IsLoopback(const Address& address) {
  if (address.IsIpv4()) return address.words[3] >> 24 == 127;
  return address.words[0] == 0 && address.words[1] == 0 && address.words[2] == 0 && address.words[3] == 1;
}

// Nobody else's can be bound.
bool IsOfThisHost(const Address& address) {
  UdpSocket probe;
  Address any_port = address;
  any_port.port = 0;
  return probe.Open(any_port) == 0;
}

}  // namespace

bool OutboundRing::Publish() {
  writer_.Publish();
  is_used_ = true;
  if (!writer_.TakeSleeper()) return false;
  // A full socket has bytes that wake the reader, and one whose other end is gone says so to `Maintain`.
  const uint8_t byte = 1;
  send(connection_.get(), &byte, sizeof(byte), MSG_DONTWAIT | MSG_NOSIGNAL);
  return true;
}

std::unique_ptr<RingHub> RingHub::Open(int udp, const Address& own, Counters* counters) {
  std::unique_ptr<RingHub> hub(new RingHub(udp, own, counters));
  return hub->Listen() ? std::move(hub) : nullptr;
}

bool RingHub::Listen() {
  sockaddr_un name;
  const socklen_t length = NameOf(own_, &name);
  events_ = Descriptor(epoll_create1(EPOLL_CLOEXEC));
  listener_ = Descriptor(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  return bind(listener_.get(), reinterpret_cast<sockaddr*>(&name), length) == 0 &&
         listen(listener_.get(), kBacklog) == 0 && Watch(listener_.get());
}

bool RingHub::Watch(int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  return epoll_ctl(events_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

std::shared_ptr<OutboundRing> RingHub::Reach(const Address& to, uint64_t now_millis) {
  for (const auto& ring : outbound_) {
    if (!IsSame(ring->to_, to)) continue;
    const bool is_waiting = ring->state_ == OutboundRing::kWaiting;
    if (is_waiting && now_millis - ring->asked_at_millis_ >= kAnswerMillis) ring->state_ = OutboundRing::kDown;
    if (ring->state_ != OutboundRing::kDown) return ring;
  }
  RemoveSpent();
  if (outbound_.size() >= kMaxRings) return nullptr;
  sockaddr_un name;
  const socklen_t length = NameOf(to, &name);
  Descriptor connection(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int fd = connection.get();
  counters_->ring_asks++;
  // Where nobody of this host has that address, this fails at once.
  if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&name), length) != 0 || !IsOurUser(fd)) return nullptr;
  RingHello hello{};
  RingProof proof{};
  if (!Draw(&hello.word) || !Draw(&proof.answer)) return nullptr;
  int ring_fd = -1;
  std::unique_ptr<RingMemory> memory = RingMemory::Create(&ring_fd);
  if (memory == nullptr) return nullptr;
  const Descriptor ring_owner(ring_fd);
  std::memcpy(hello.magic, kHelloMagic, sizeof(hello.magic));
  hello.ring_bytes = kRingBytes;
  hello.source = own_;
  hello.destination = to;
  std::memcpy(proof.magic, kProofMagic, sizeof(proof.magic));
  proof.word = hello.word;
  // The hello first: who gets the proof finds it there.
  if (!SendWith(fd, &hello, sizeof(hello), ring_fd) || !Watch(fd)) return nullptr;
  sockaddr_storage there;
  const socklen_t there_length = ToSockaddr(to, &there);
  const ssize_t sent = sendto(udp_, &proof, sizeof(proof), MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&there), there_length);
  if (sent != static_cast<ssize_t>(sizeof(proof))) return nullptr;
  outbound_.push_back(
      std::make_shared<OutboundRing>(to, now_millis, proof.answer, std::move(connection), std::move(memory)));
  return outbound_.back();
}

bool RingHub::MayAskAgain(uint64_t now_millis) {
  if (now_millis < asks_again_at_millis_) return false;
  asks_again_at_millis_ = now_millis + kAskSpacingMillis;
  return true;
}

bool RingHub::IsNear(const Address& address) {
  if (std::memcmp(address.words, own_.words, sizeof(own_.words)) == 0 || IsLoopback(address)) return true;
  if (std::memcmp(address.words, last_asked_.words, sizeof(last_asked_.words)) == 0) return is_last_near_;
  last_asked_ = address;
  is_last_near_ = IsOfThisHost(address);
  return is_last_near_;
}

void RingHub::Maintain() {
  if (is_deaf_) is_deaf_ = !Watch(listener_.get());
  for (int round = 0; TakeEvents() && has_proofs() && round < kMaxRounds; round++) continue;
  for (const ReceivedProof& received : proofs_) CheckProof(received);
  proofs_.clear();
  RemoveSpent();
}

// Whether there was anything.
bool RingHub::TakeEvents() {
  epoll_event events[kMaxEvents];
  const int count = epoll_wait(events_.get(), events, kMaxEvents, 0);
  for (int i = 0; i < count; i++) {
    if (events[i].data.fd == listener_.get()) Accept();
    else OnReadable(events[i].data.fd);
  }
  return count > 0;
}

void RingHub::Accept() {
  for (int i = 0; i < kMaxAccepts; i++) {
    Descriptor connection(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (connection.get() < 0) {
      // Without descriptors to give, the listener would stay readable, and the event loop never wait.
      if (errno == EMFILE || errno == ENFILE) is_deaf_ = epoll_ctl(events_.get(), EPOLL_CTL_DEL, listener_.get(), nullptr) == 0;
      return;
    }
    if (!IsOurUser(connection.get()) || !Watch(connection.get())) {
      counters_->ring_refusals++;
      continue;
    }
    // Who connects and shows nothing makes room.
    if (strangers_.size() >= kMaxStrangers) strangers_.erase(strangers_.begin());
    strangers_.emplace_back();
    strangers_.back().connection = std::move(connection);
  }
}

void RingHub::OnReadable(int fd) {
  for (const auto& ring : inbound_) {
    if (ring->connection.get() == fd) return Drain(*ring);
  }
  for (const auto& ring : outbound_) {
    if (ring->connection_.get() == fd) return TakeWelcome(*ring);
  }
  const auto has_fd = [fd](const Stranger& stranger) { return stranger.connection.get() == fd; };
  const auto found = std::find_if(strangers_.begin(), strangers_.end(), has_fd);
  // The event may be of a connection that had this number and was closed since.
  if (found == strangers_.end() || !HasMessage(fd)) return;
  if (TakeHello(*found)) return;
  strangers_.erase(found);
  counters_->ring_refusals++;
}

bool RingHub::TakeHello(Stranger& stranger) {
  RingHello& hello = stranger.hello;
  // Behind the hello nothing comes before the answer but the end.
  if (stranger.has_said_hello) return false;
  if (!ReceiveWith(stranger.connection.get(), &hello, sizeof(hello), &stranger.ring)) return false;
  if (std::memcmp(hello.magic, kHelloMagic, sizeof(hello.magic)) != 0) return false;
  if (hello.ring_bytes != kRingBytes || !IsSame(hello.destination, own_)) return false;
  stranger.has_said_hello = true;
  return IsNear(hello.source);
}

bool RingHub::TakeProof(const Address& source, const uint8_t* bytes, size_t length) {
  if (length != sizeof(RingProof) || std::memcmp(bytes, kProofMagic, sizeof(kProofMagic)) != 0) return false;
  if (proofs_.size() >= kMaxProofs) {
    counters_->ring_refusals++;
    return true;
  }
  proofs_.emplace_back();
  proofs_.back().source = source;
  std::memcpy(&proofs_.back().proof, bytes, sizeof(RingProof));
  return true;
}

void RingHub::CheckProof(const ReceivedProof& received) {
  const RandomWord& word = received.proof.word;
  const auto has_word = [&word](const Stranger& stranger) { return stranger.has_said_hello && stranger.hello.word == word; };
  const auto found = std::find_if(strangers_.begin(), strangers_.end(), has_word);
  if (found != strangers_.end()) {
    Stranger stranger = std::move(*found);
    strangers_.erase(found);
    if (IsSame(stranger.hello.source, received.source) && Admit(std::move(stranger), received.proof.answer)) return;
  }
  counters_->ring_refusals++;
}

bool RingHub::Admit(Stranger stranger, const RandomWord& answer) {
  const Address& source = stranger.hello.source;
  const auto is_of_source = [&source](const auto& ring) { return IsSame(ring->from, source); };
  // The process that was there before is gone, or starts anew.
  inbound_.erase(std::remove_if(inbound_.begin(), inbound_.end(), is_of_source), inbound_.end());
  if (inbound_.size() >= kMaxRings) return false;
  std::unique_ptr<RingMemory> memory = RingMemory::Adopt(stranger.ring.get());
  if (memory == nullptr) return false;
  Welcome welcome{};
  std::memcpy(welcome.magic, kWelcomeMagic, sizeof(welcome.magic));
  welcome.answer = answer;
  if (!SendWith(stranger.connection.get(), &welcome, sizeof(welcome), -1)) return false;
  inbound_.push_back(
      std::make_unique<InboundRing>(source, next_number_++, std::move(stranger.connection), std::move(memory)));
  return true;
}

void RingHub::TakeWelcome(OutboundRing& ring) {
  if (!HasMessage(ring.connection_.get())) return;
  Welcome welcome{};
  const bool is_welcome = ring.state_ == OutboundRing::kWaiting &&
                          ReceiveWith(ring.connection_.get(), &welcome, sizeof(welcome), nullptr) &&
                          std::memcmp(welcome.magic, kWelcomeMagic, sizeof(welcome.magic)) == 0 &&
                          welcome.answer == ring.answer_;
  // Nothing comes behind the welcome but the end.
  ring.state_ = is_welcome ? OutboundRing::kUp : OutboundRing::kDown;
}

// The bytes that wake, and the end.
void RingHub::Drain(InboundRing& ring) {
  uint8_t bytes[64];
  for (int i = 0; i < kMaxWakes; i++) {
    const ssize_t length = recv(ring.connection.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
    if (length > 0) continue;
    if (length == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) ring.has_ended = true;
    return;
  }
}

bool RingHub::HasNews() const {
  return std::any_of(inbound_.begin(), inbound_.end(), [](const auto& ring) { return ring->reader.HasNews(); });
}

void RingHub::SetSleeping(bool is_sleeping) {
  for (const auto& ring : inbound_) ring->reader.SetSleeping(is_sleeping);
}

void RingHub::RemoveSpent() {
  const auto is_spent = [this](const auto& ring) {
    if (!ring->reader.has_fault()) return ring->has_ended && !ring->reader.HasNews();
    counters_->ring_faults++;
    return true;
  };
  inbound_.erase(std::remove_if(inbound_.begin(), inbound_.end(), is_spent), inbound_.end());
  const auto is_down = [](const auto& ring) { return ring->state_ == OutboundRing::kDown; };
  for (const auto& ring : outbound_) {
    if (!is_down(ring)) continue;
    // Flows know it still, but use it no more.
    ring->connection_ = Descriptor();
    ring->memory_.reset();
  }
  outbound_.erase(std::remove_if(outbound_.begin(), outbound_.end(), is_down), outbound_.end());
}

}  // namespace queuepair
