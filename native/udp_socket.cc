// Why the options are as they are:
// - IP_MTU_DISCOVER = DO, and no connect: only then is the IPv4 identification that the kernel writes known, 0 (and k in
//   segment k of a segmented send). For a connected socket see peer_socket.h. IPv6 gets the same, so that packets are never fragmented there either.
// - UDP_NO_CHECK6_RX: Linux rdma_rxe sends UDP checksum 0 over IPv6, which a socket drops unless told otherwise.
// - UDP_GRO: bursts arrive as one buffer.
// - The traffic class of received packets is asked for, for congestion marks; the hop limit when somebody reads it (the GRH of
//   datagrams, captures).
// Options that a kernel does not know only cost speed or such details, except the first.
#include "udp_socket.h"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

namespace queuepair {
namespace {

constexpr int kUdpSegment = 103;
constexpr int kUdpGro = 104;
constexpr int kUdpNoCheck6Rx = 102;
constexpr int kBufferBytes = 8 * 1024 * 1024;
constexpr int kHopLimit = 64;

int Set(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof(value)); }

// Beyond the system's limit if we may, up to it otherwise.
void SetBuffer(int fd, int force, int name) {
  if (Set(fd, SOL_SOCKET, force, kBufferBytes) != 0) Set(fd, SOL_SOCKET, name, kBufferBytes);
}

// Link-local addresses mean something on one interface only: the one that has this address.
uint32_t ScopeOf(const in6_addr& address) {
  if (!IN6_IS_ADDR_LINKLOCAL(&address)) return 0;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return 0;
  uint32_t scope = 0;
  for (const ifaddrs* item = list; item != nullptr && scope == 0; item = item->ifa_next) {
    if (item->ifa_addr == nullptr || item->ifa_addr->sa_family != AF_INET6) continue;
    const auto* found = reinterpret_cast<const sockaddr_in6*>(item->ifa_addr);
    if (std::memcmp(&found->sin6_addr, &address, sizeof(address)) == 0) scope = if_nametoindex(item->ifa_name);
  }
  freeifaddrs(list);
  return scope;
}

}  // namespace

int UdpSocket::Open(const Address& address) {
  const bool is_ipv4 = address.IsIpv4();
  fd_ = socket(is_ipv4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return errno;
  address_ = address;
  int error = SetOptions();
  sockaddr_storage name;
  socklen_t length = ToSockaddr(address, &name);
  if (error == 0 && !is_ipv4) {
    auto* ipv6 = reinterpret_cast<sockaddr_in6*>(&name);
    ipv6->sin6_scope_id = ScopeOf(ipv6->sin6_addr);
  }
  if (error == 0 && bind(fd_, reinterpret_cast<sockaddr*>(&name), length) != 0) error = errno;
  length = sizeof(name);
  if (error == 0 && getsockname(fd_, reinterpret_cast<sockaddr*>(&name), &length) != 0) error = errno;
  if (error == 0) address_ = FromSockaddr(name);
  else Close();
  return error;
}

int UdpSocket::OpenBeside(const UdpSocket& port, const Address& peer) {
  const bool is_ipv4 = port.address_.IsIpv4();
  if (peer.IsIpv4() != is_ipv4) return EAFNOSUPPORT;
  fd_ = socket(is_ipv4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return errno;
  address_ = port.address_;
  int error = SetOptions();
  if (port.reads_hop_limits_) ReadHopLimits();
  sockaddr_storage name;
  socklen_t length = sizeof(name);
  if (error == 0 && getsockname(port.fd_, reinterpret_cast<sockaddr*>(&name), &length) != 0) error = errno;
  // Both must allow it at this moment. Afterwards nobody else gets the port, as before.
  if (error == 0 && (Set(fd_, SOL_SOCKET, SO_REUSEPORT, 1) != 0 || Set(port.fd_, SOL_SOCKET, SO_REUSEPORT, 1) != 0)) error = errno;
  if (error == 0 && bind(fd_, reinterpret_cast<sockaddr*>(&name), length) != 0) error = errno;
  Set(port.fd_, SOL_SOCKET, SO_REUSEPORT, 0);
  Set(fd_, SOL_SOCKET, SO_REUSEPORT, 0);
  length = ToSockaddr(peer, &name);
  if (error == 0 && connect(fd_, reinterpret_cast<sockaddr*>(&name), length) != 0) error = errno;
  if (error != 0) Close();
  return error;
}

int UdpSocket::SetOptions() {
  SetBuffer(fd_, SO_RCVBUFFORCE, SO_RCVBUF);
  SetBuffer(fd_, SO_SNDBUFFORCE, SO_SNDBUF);
  can_segment_ = Set(fd_, IPPROTO_UDP, kUdpSegment, 0) == 0;
  Set(fd_, IPPROTO_UDP, kUdpGro, 1);
  if (address_.IsIpv4()) {
    Set(fd_, IPPROTO_IP, IP_RECVTOS, 1);
    Set(fd_, IPPROTO_IP, IP_TTL, kHopLimit);
    return Set(fd_, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO) == 0 ? 0 : errno;
  }
  Set(fd_, IPPROTO_UDP, kUdpNoCheck6Rx, 1);
  Set(fd_, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
  Set(fd_, IPPROTO_IPV6, IPV6_UNICAST_HOPS, kHopLimit);
  Set(fd_, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
  return Set(fd_, IPPROTO_IPV6, IPV6_V6ONLY, 1) == 0 ? 0 : errno;
}

void UdpSocket::ReadHopLimits() {
  reads_hop_limits_ = true;
  if (address_.IsIpv4()) Set(fd_, IPPROTO_IP, IP_RECVTTL, 1);
  else Set(fd_, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
}

void UdpSocket::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

socklen_t ToSockaddr(const Address& address, sockaddr_storage* out) {
  std::memset(out, 0, sizeof(*out));
  if (address.IsIpv4()) {
    auto* ipv4 = reinterpret_cast<sockaddr_in*>(out);
    ipv4->sin_family = AF_INET;
    ipv4->sin_port = htons(address.port);
    ipv4->sin_addr.s_addr = htonl(address.words[3]);
    return sizeof(*ipv4);
  }
  auto* ipv6 = reinterpret_cast<sockaddr_in6*>(out);
  ipv6->sin6_family = AF_INET6;
  ipv6->sin6_port = htons(address.port);
  for (size_t i = 0; i < 4; i++) {
    const uint32_t word = htonl(address.words[i]);
    std::memcpy(ipv6->sin6_addr.s6_addr + 4 * i, &word, sizeof(word));
  }
  return sizeof(*ipv6);
}

Address FromSockaddr(const sockaddr_storage& from) {
  Address address{};
  if (from.ss_family == AF_INET) {
    const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(from);
    address.words[2] = 0xffff;
    address.words[3] = ntohl(ipv4.sin_addr.s_addr);
    address.port = ntohs(ipv4.sin_port);
  } else if (from.ss_family == AF_INET6) {
    const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(from);
    for (size_t i = 0; i < 4; i++) {
      uint32_t word;
      std::memcpy(&word, ipv6.sin6_addr.s6_addr + 4 * i, sizeof(word));
      address.words[i] = ntohl(word);
    }
    address.port = ntohs(ipv6.sin6_port);
  }
  return address;
}

}  // namespace queuepair
