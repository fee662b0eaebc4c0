// The kernel numbers the packets of a segmented send 0, 1, 2, …, if it is the kernel that splits it. An interface that
// offers to split them itself (tx-udp-segmentation) gets them unsplit, with one number for all; what it then does is
// its own policy, and on a virtual pair nothing is split at all. So over IPv4 a send may be segmented only if its route
// leaves
// - by the loopback interface: the packets stay in the kernel, and whoever receives them there sees the same numbers; or
// - by an interface that does not split.
// IPv6 has no identification, and so no such question.
//
// Decided when a flow is made, from the route and the interface of that moment. Neither question needs privileges.
#include "segment_route.h"

#include <arpa/inet.h>
#include <cstdio>
#include <cstring>
#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace queuepair {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

struct RouteRequest {
  nlmsghdr header;
  rtmsg route;
  char attributes[64];
};

void AddAddress(RouteRequest* request, uint16_t type, uint32_t ipv4) {
  const uint32_t value = htonl(ipv4);
  auto* attribute = reinterpret_cast<rtattr*>(reinterpret_cast<char*>(request) + NLMSG_ALIGN(request->header.nlmsg_len));
  attribute->rta_type = type;
  attribute->rta_len = RTA_LENGTH(sizeof(value));
  std::memcpy(RTA_DATA(attribute), &value, sizeof(value));
  request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) + RTA_LENGTH(sizeof(value));
}

// Index of the interface that packets from `source` to `destination` leave by; 0 = unknown.
unsigned OutgoingInterface(uint32_t source, uint32_t destination) {
  const Descriptor netlink(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  RouteRequest request{};
  request.header.nlmsg_len = NLMSG_LENGTH(sizeof(rtmsg));
  request.header.nlmsg_type = RTM_GETROUTE;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.route.rtm_family = AF_INET;
  request.route.rtm_src_len = 32;
  request.route.rtm_dst_len = 32;
  AddAddress(&request, RTA_DST, destination);
  AddAddress(&request, RTA_SRC, source);
  if (send(netlink.get(), &request, request.header.nlmsg_len, 0) < 0) return 0;
  alignas(nlmsghdr) char answer[4096];
  const ssize_t received = recv(netlink.get(), answer, sizeof(answer), 0);
  const auto* header = reinterpret_cast<const nlmsghdr*>(answer);
  if (received < 0 || !NLMSG_OK(header, static_cast<size_t>(received))) return 0;
  if (header->nlmsg_type != RTM_NEWROUTE) return 0;
  const auto* route = static_cast<const rtmsg*>(NLMSG_DATA(header));
  auto* attribute = RTM_RTA(route);
  size_t left = RTM_PAYLOAD(header);
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    unsigned index = 0;
    if (attribute->rta_type != RTA_OIF) continue;
    std::memcpy(&index, RTA_DATA(attribute), sizeof(index));
    return index;
  }
  return 0;
}

int Ethtool(int fd, const char* interface, void* command) {
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
  request.ifr_data = static_cast<char*>(command);
  return ioctl(fd, SIOCETHTOOL, &request);
}

uint32_t FeatureCount(int fd, const char* interface) {
  std::vector<char> buffer(sizeof(ethtool_sset_info) + sizeof(uint32_t));
  auto* query = reinterpret_cast<ethtool_sset_info*>(buffer.data());
  query->cmd = ETHTOOL_GSSET_INFO;
  query->sset_mask = 1ULL << ETH_SS_FEATURES;
  if (Ethtool(fd, interface, query) != 0 || query->sset_mask == 0) return 0;
  return query->data[0];
}

// Number of the feature among those that interfaces can have; -1 = the kernel does not know it.
int64_t FeatureIndex(int fd, const char* interface, uint32_t count, const char* wanted) {
  std::vector<char> buffer(sizeof(ethtool_gstrings) + count * ETH_GSTRING_LEN);
  auto* strings = reinterpret_cast<ethtool_gstrings*>(buffer.data());
  strings->cmd = ETHTOOL_GSTRINGS;
  strings->string_set = ETH_SS_FEATURES;
  strings->len = count;
  if (Ethtool(fd, interface, strings) != 0) return -1;
  for (uint32_t i = 0; i < count; i++) {
    const char* name = reinterpret_cast<const char*>(strings->data) + i * ETH_GSTRING_LEN;
    if (std::strncmp(name, wanted, ETH_GSTRING_LEN) == 0) return i;
  }
  return -1;
}

bool InterfaceSplits(const char* interface) {
  const Descriptor any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const uint32_t count = FeatureCount(any.get(), interface);
  if (count == 0 || count > 4096) return true;
  const int64_t index = FeatureIndex(any.get(), interface, count, "tx-udp-segmentation");
  if (index < 0) return true;
  const size_t blocks = (count + 31) / 32;
  std::vector<char> buffer(sizeof(ethtool_gfeatures) + blocks * sizeof(ethtool_get_features_block));
  auto* features = reinterpret_cast<ethtool_gfeatures*>(buffer.data());
  features->cmd = ETHTOOL_GFEATURES;
  features->size = static_cast<uint32_t>(blocks);
  if (Ethtool(any.get(), interface, features) != 0) return true;
  return (features->features[index / 32].active >> (index % 32) & 1) != 0;
}

bool IsLoopback(const char* interface) {
  const Descriptor any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
  return ioctl(any.get(), SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_LOOPBACK) != 0;
}

}  // namespace

bool SegmentsKeepIdentification(const Address& source, const Address& destination) {
  if (!destination.IsIpv4()) return true;
  const unsigned index = OutgoingInterface(source.words[3], destination.words[3]);
  char interface[IF_NAMESIZE];
  if (index == 0 || if_indextoname(index, interface) == nullptr) return false;
  return IsLoopback(interface) || !InterfaceSplits(interface);
}

}  // namespace queuepair
