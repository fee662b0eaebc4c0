#include "ring_hub.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
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

constexpr int kSoNetnsCookie = 71;
// What a user ID becomes that this user namespace has no name for.
constexpr uid_t kNobody = 65534;
// Rings cost memory: who comes later has UDP.
constexpr size_t kMaxRings = 16;
constexpr size_t kMaxStrangers = 16;
constexpr int kBacklog = 16;
constexpr int kMaxEvents = 16;
constexpr int kMaxAccepts = 8;
// Bytes that wake, of one peer at a time: who sends them without end keeps nobody from his turn.
constexpr int kMaxWakes = 64;

// The first message of who sends, with its UDP socket and the ring. Both ends are of one host: its byte order.
struct Hello {
  char magic[12];
  uint32_t ring_bytes;
  Address source;
  Address destination;
};
constexpr char kHelloMagic[12] = "qp-ring-1\r\n";

// The answer, with the UDP socket of who receives.
struct Welcome {
  char magic[12];
};
constexpr char kWelcomeMagic[12] = "qp-ring-ok\n";

constexpr size_t kMaxPassed = 2;

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

bool IsOurUser(int fd) {
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return false;
  return peer.uid == geteuid() && peer.uid != kNobody;
}

bool IntOption(int fd, int name, int* value) {
  socklen_t length = sizeof(*value);
  return getsockopt(fd, SOL_SOCKET, name, value, &length) == 0;
}

bool NamespaceOf(int fd, uint64_t* cookie) {
  socklen_t length = sizeof(*cookie);
  return getsockopt(fd, SOL_SOCKET, kSoNetnsCookie, cookie, &length) == 0;
}

bool SendWith(int fd, void* message, size_t length, const int* passed, size_t count) {
  alignas(cmsghdr) uint8_t control[CMSG_SPACE(kMaxPassed * sizeof(int))] = {};
  iovec piece{message, length};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = CMSG_SPACE(count * sizeof(int));
  cmsghdr* const rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(count * sizeof(int));
  std::memcpy(CMSG_DATA(rights), passed, count * sizeof(int));
  return sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(length);
}

// A message, or the end.
bool HasMessage(int fd) {
  uint8_t byte;
  return recv(fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

// Exactly `length` bytes and `count` descriptors. Whatever else came is closed.
bool ReceiveWith(int fd, void* message, size_t length, Descriptor* passed, size_t count) {
  alignas(cmsghdr) uint8_t control[CMSG_SPACE(kMaxPassed * sizeof(int))] = {};
  iovec piece{message, length};
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  const ssize_t received = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (received < 0) return false;
  size_t got = 0;
  std::vector<Descriptor> surplus;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = CMSG_LEN(0); at + sizeof(int) <= part->cmsg_len; at += sizeof(int)) {
      int value;
      std::memcpy(&value, reinterpret_cast<uint8_t*>(part) + at, sizeof(value));
      if (got < count) passed[got] = Descriptor(value);
      else surplus.emplace_back(value);
      got++;
    }
  }
  const bool is_whole = (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
  return is_whole && got == count && received == static_cast<ssize_t>(length);
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

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

std::shared_ptr<OutboundRing> RingHub::Reach(const Address& to) {
  for (const auto& ring : outbound_) {
    if (IsSame(ring->to_, to)) return ring;
  }
  if (outbound_.size() >= kMaxRings) return nullptr;
  sockaddr_un name;
  const socklen_t length = NameOf(to, &name);
  Descriptor connection(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int fd = connection.get();
  // Where nobody of this host has that address, this fails at once.
  if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&name), length) != 0 || !IsOurUser(fd)) return nullptr;
  int ring_fd = -1;
  std::unique_ptr<RingMemory> memory = RingMemory::Create(&ring_fd);
  if (memory == nullptr) return nullptr;
  const Descriptor ring_owner(ring_fd);
  Hello hello{};
  std::memcpy(hello.magic, kHelloMagic, sizeof(hello.magic));
  hello.ring_bytes = kRingBytes;
  hello.source = own_;
  hello.destination = to;
  const int passed[] = {udp_, ring_fd};
  if (!SendWith(fd, &hello, sizeof(hello), passed, 2) || !Watch(fd)) return nullptr;
  outbound_.push_back(std::make_shared<OutboundRing>(to, std::move(connection), std::move(memory)));
  return outbound_.back();
}

void RingHub::Maintain() {
  if (is_deaf_) is_deaf_ = !Watch(listener_.get());
  epoll_event events[kMaxEvents];
  const int count = epoll_wait(events_.get(), events, kMaxEvents, 0);
  for (int i = 0; i < count; i++) {
    if (events[i].data.fd == listener_.get()) Accept();
    else OnReadable(events[i].data.fd);
  }
  RemoveSpent();
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
    // Who connects and says nothing makes room.
    if (strangers_.size() >= kMaxStrangers) strangers_.erase(strangers_.begin());
    strangers_.push_back(std::move(connection));
  }
}

void RingHub::OnReadable(int fd) {
  for (const auto& ring : inbound_) {
    if (ring->connection.get() == fd) return Drain(*ring);
  }
  for (const auto& ring : outbound_) {
    if (ring->connection_.get() == fd) return TakeWelcome(*ring);
  }
  const auto has_fd = [fd](const Descriptor& stranger) { return stranger.get() == fd; };
  const auto found = std::find_if(strangers_.begin(), strangers_.end(), has_fd);
  // The event may be of a connection that had this number and was closed since.
  if (found == strangers_.end() || !HasMessage(fd)) return;
  Descriptor connection = std::move(*found);
  strangers_.erase(found);
  if (!TakeHello(std::move(connection))) counters_->ring_refusals++;
}

bool RingHub::TakeHello(Descriptor connection) {
  const int fd = connection.get();
  Hello hello;
  Descriptor passed[2];
  if (!ReceiveWith(fd, &hello, sizeof(hello), passed, 2)) return false;
  if (std::memcmp(hello.magic, kHelloMagic, sizeof(hello.magic)) != 0) return false;
  if (hello.ring_bytes != kRingBytes || !IsSame(hello.destination, own_)) return false;
  if (!IsProven(passed[0].get(), hello.source)) return false;
  const auto is_of_source = [&hello](const auto& ring) { return IsSame(ring->from, hello.source); };
  // The process that was there before is gone, or starts anew.
  inbound_.erase(std::remove_if(inbound_.begin(), inbound_.end(), is_of_source), inbound_.end());
  if (inbound_.size() >= kMaxRings) return false;
  std::unique_ptr<RingMemory> memory = RingMemory::Adopt(passed[1].get());
  if (memory == nullptr) return false;
  Welcome welcome{};
  std::memcpy(welcome.magic, kWelcomeMagic, sizeof(welcome.magic));
  if (!SendWith(fd, &welcome, sizeof(welcome), &udp_, 1)) return false;
  inbound_.push_back(
      std::make_unique<InboundRing>(hello.source, next_number_++, std::move(connection), std::move(memory)));
  return true;
}

void RingHub::TakeWelcome(OutboundRing& ring) {
  if (!HasMessage(ring.connection_.get())) return;
  Welcome welcome{};
  Descriptor passed[1];
  const bool is_welcome = ring.state_ == OutboundRing::kWaiting &&
                          ReceiveWith(ring.connection_.get(), &welcome, sizeof(welcome), passed, 1) &&
                          std::memcmp(welcome.magic, kWelcomeMagic, sizeof(welcome.magic)) == 0 &&
                          IsProven(passed[0].get(), ring.to_);
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

// Whether who passed this descriptor has the UDP socket of that address.
bool RingHub::IsProven(int udp, const Address& claimed) const {
  int type;
  int protocol;
  uint64_t theirs;
  uint64_t ours;
  sockaddr_storage name{};
  socklen_t length = sizeof(name);
  if (!IntOption(udp, SO_TYPE, &type) || type != SOCK_DGRAM) return false;
  if (!IntOption(udp, SO_PROTOCOL, &protocol) || protocol != IPPROTO_UDP) return false;
  if (!NamespaceOf(udp, &theirs) || !NamespaceOf(udp_, &ours) || theirs != ours) return false;
  if (getsockname(udp, reinterpret_cast<sockaddr*>(&name), &length) != 0) return false;
  if (!IsSame(FromSockaddr(name), claimed)) return false;
  // Anyone may bind an address that is not of this host (IP_FREEBIND), unless the option is missing.
  UdpSocket probe;
  Address any_port = claimed;
  any_port.port = 0;
  return probe.Open(any_port) == 0;
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
