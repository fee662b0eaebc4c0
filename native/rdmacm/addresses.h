// Socket addresses as numbers: the family (4, 6, or 0 for none), four words as in a GID (most significant first, IPv4 as
// ::ffff:a.b.c.d), the port, and the scope of an IPv6 address.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstddef>
#include <cstring>

namespace queuepair {

constexpr size_t kAddressNumbers = 7;

inline sockaddr_storage ReadSocketAddress(const double* numbers) {
  sockaddr_storage storage{};
  uint32_t words[4];
  for (size_t i = 0; i < 4; i++) words[i] = htonl(static_cast<uint32_t>(numbers[1 + i]));
  const auto port = htons(static_cast<uint16_t>(numbers[5]));
  if (numbers[0] == 4) {
    auto* const address = reinterpret_cast<sockaddr_in*>(&storage);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = words[3];
    address->sin_port = port;
  } else if (numbers[0] == 6) {
    auto* const address = reinterpret_cast<sockaddr_in6*>(&storage);
    address->sin6_family = AF_INET6;
    memcpy(&address->sin6_addr, words, sizeof(words));
    address->sin6_port = port;
    address->sin6_scope_id = static_cast<uint32_t>(numbers[6]);
  }
  return storage;
}

inline void WriteSocketAddress(const sockaddr_storage& storage, double* numbers) {
  uint32_t words[4] = {0, 0, 0, 0};
  uint16_t port = 0;
  uint32_t scope = 0;
  if (storage.ss_family == AF_INET) {
    const auto& address = reinterpret_cast<const sockaddr_in&>(storage);
    words[2] = htonl(0xffff);
    words[3] = address.sin_addr.s_addr;
    port = address.sin_port;
  } else if (storage.ss_family == AF_INET6) {
    const auto& address = reinterpret_cast<const sockaddr_in6&>(storage);
    memcpy(words, &address.sin6_addr, sizeof(words));
    port = address.sin6_port;
    scope = address.sin6_scope_id;
  }
  numbers[0] = storage.ss_family == AF_INET ? 4 : storage.ss_family == AF_INET6 ? 6 : 0;
  for (size_t i = 0; i < 4; i++) numbers[1 + i] = ntohl(words[i]);
  numbers[5] = ntohs(port);
  numbers[6] = scope;
}

}  // namespace queuepair
