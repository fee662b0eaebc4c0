// The UDP socket of a port: bound to one address, with everything set that an exact ICRC and speed
// need (see udp_socket.cc).
#pragma once

#include <sys/socket.h>

#include "icrc.h"

namespace queuepair {

class UdpSocket {
 public:
  UdpSocket() = default;
  ~UdpSocket() { Close(); }
  UdpSocket(const UdpSocket&) = delete;
  UdpSocket& operator=(const UdpSocket&) = delete;

  // Binds `address`; port 0 = any free one. Returns 0 or an errno.
  int Open(const Address& address);
  // Binds the address and port of `port` once more, connected to `peer`. Returns 0 or an errno.
  int OpenBeside(const UdpSocket& port, const Address& peer);
  // From now on each packet comes with its hop limit.
  void ReadHopLimits();
  // Idempotent.
  void Close();

  int fd() const { return fd_; }
  const Address& address() const { return address_; }
  // Whether the kernel can split one send into packets (UDP_SEGMENT, Linux 4.18).
  bool can_segment() const { return can_segment_; }

 private:
  int SetOptions();

  int fd_ = -1;
  Address address_{};
  bool can_segment_ = false;
  bool reads_hop_limits_ = false;
};

// Returns the length in use.
socklen_t ToSockaddr(const Address& address, sockaddr_storage* out);
// Of another family than IP: all zero.
Address FromSockaddr(const sockaddr_storage& from);

}  // namespace queuepair
