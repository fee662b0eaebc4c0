// Whatever a kernel and a network can hand to ReceiveRing: bursts of any length and segment size, any control messages,
// any source, packets that are right under some identification and packets that are not.
//
// What must hold: every record lies in its slot, records follow each other without gap or overlap, a burst is described
// whole unless it has too many datagrams, and what counts as verified really has the ICRC that it must have.
//
// The system calls are ours here, in the place of native/system_calls.cc.
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <map>
#include <utility>
#include <vector>

#include "../crc32.h"
#include "../icrc.h"
#include "../receive_ring.h"
#include "../system_calls.h"
#include "../udp_socket.h"
#include "input.h"

namespace {

using namespace queuepair;

constexpr size_t kSlots = 3;
constexpr int kUdpGro = 104;
// The most that fits into an IPv4 packet, which coalesced ones must be too.
constexpr size_t kMaxBurstBytes = 65507;
constexpr size_t kMinPacketBytes = kBthBytes + kIcrcBytes;

Input* input = nullptr;
Address own{};
size_t filled_bytes[kSlots];
uint16_t filled_segments[kSlots];
size_t filled_slots = 0;

// With the masked byte really masked, where the code under test corrects for it.
uint32_t IcrcOf(PseudoHeader& pseudo, const uint8_t* packet, size_t covered, uint16_t identification) {
  uint8_t bth[kBthBytes];
  std::memcpy(bth, packet, sizeof(bth));
  bth[4] = 0xff;
  const uint32_t behind_bth = Crc32Portable(pseudo.Start(bth, covered, identification), bth, sizeof(bth));
  return ~Crc32Portable(behind_bth, packet + kBthBytes, covered - kBthBytes);
}

// Gives a packet the ICRC that it has under this identification.
void Seal(PseudoHeader& pseudo, uint8_t* packet, size_t length, uint16_t identification) {
  if (length < kMinPacketBytes) return;
  StoreIcrc(packet + length - kIcrcBytes, ~IcrcOf(pseudo, packet, length - kIcrcBytes, identification));
}

void AddControl(msghdr* header, size_t room, int level, int type, int value, bool is_short) {
  auto* control = reinterpret_cast<cmsghdr*>(static_cast<uint8_t*>(header->msg_control) + header->msg_controllen);
  const size_t length = is_short ? 1 : sizeof(int);
  if (header->msg_controllen + CMSG_SPACE(length) > room) return;
  control->cmsg_level = level;
  control->cmsg_type = type;
  control->cmsg_len = CMSG_LEN(length);
  std::memcpy(CMSG_DATA(control), &value, length);
  header->msg_controllen += CMSG_SPACE(length);
}

Address TakeAddress() {
  Address address{};
  if (input->OneIn(4)) {
    input->TakeBytes(reinterpret_cast<uint8_t*>(address.words), sizeof(address.words));
  } else {
    address.words[2] = 0xffff;
    address.words[3] = 0x0a000002;
  }
  address.port = input->Take<uint16_t>();
  return address;
}

}  // namespace

// In the place of the kernel.
int queuepair::ReceiveMessages(int, mmsghdr* headers, size_t count) {
  filled_slots = 0;
  for (size_t i = 0; i < count && i < kSlots && input->left() > 0; i++) {
    msghdr& header = headers[i].msg_hdr;
    const size_t control_room = header.msg_controllen;
    header.msg_controllen = 0;
    const Address source = TakeAddress();
    header.msg_namelen = ToSockaddr(source, static_cast<sockaddr_storage*>(header.msg_name));
    PseudoHeader pseudo(source, own);
    // A socket delivers no more than fits; empty datagrams exist.
    const size_t length = input->OneIn(4) ? input->Below(kMaxBurstBytes + 1) : input->Below(2048);
    uint16_t segment = input->OneIn(3) ? input->Take<uint16_t>() : static_cast<uint16_t>(input->Below(300));
    auto* bytes = static_cast<uint8_t*>(header.msg_iov[0].iov_base);
    input->TakeBytes(bytes, std::min<size_t>(length, 512));
    const uint16_t identification = input->Take<uint16_t>();
    const size_t step = segment == 0 ? std::max<size_t>(length, 1) : segment;
    if (!input->OneIn(4)) {
      uint16_t place = 0;
      for (size_t at = 0; at < length; at += step, place++)
        Seal(pseudo, bytes + at, std::min(step, length - at), static_cast<uint16_t>(identification + place));
    }
    if (segment != 0) AddControl(&header, control_room, IPPROTO_UDP, kUdpGro, segment, false);
    if (input->OneIn(3)) AddControl(&header, control_room, IPPROTO_IP, IP_TOS, input->Take<uint8_t>(), true);
    if (input->OneIn(3)) AddControl(&header, control_room, IPPROTO_IPV6, IPV6_HOPLIMIT, input->Take<int>(), false);
    headers[i].msg_len = static_cast<unsigned>(length);
    filled_bytes[i] = length;
    filled_segments[i] = segment;
    filled_slots = i + 1;
  }
  return filled_slots == 0 ? -1 : static_cast<int>(filled_slots);
}

ssize_t queuepair::ReceiveMessage(int fd, msghdr* header) {
  mmsghdr one{*header, 0};
  if (ReceiveMessages(fd, &one, 1) < 0) return -1;
  *header = one.msg_hdr;
  return one.msg_len;
}

namespace {

// What each bit of the identification changes in the ICRC of packets of this length, in echelon form: item i is 0 or has
// i as its highest bit.
using Basis = std::array<uint32_t, 32>;

const Basis& BasisOf(PseudoHeader& pseudo, const uint8_t* packet, size_t covered) {
  static std::map<size_t, Basis> known;
  const auto found = known.find(covered);
  if (found != known.end()) return found->second;
  const uint32_t base = IcrcOf(pseudo, packet, covered, 0);
  Basis& basis = known[covered];
  for (int bit = 0; bit < 16; bit++) {
    uint32_t effect = IcrcOf(pseudo, packet, covered, static_cast<uint16_t>(1 << bit)) ^ base;
    for (size_t i = 32; i-- > 0 && effect != 0;) {
      if ((effect >> i & 1) == 0) continue;
      if (basis[i] == 0) std::swap(basis[i], effect);
      else effect ^= basis[i];
    }
  }
  return basis;
}

// Whether some identification gives the packet the ICRC that it carries, by elimination, where the code under test
// divides polynomials.
bool MayBeRight(PseudoHeader& pseudo, const uint8_t* packet, size_t length) {
  if (length < kMinPacketBytes) return false;
  const size_t covered = length - kIcrcBytes;
  uint32_t rest = IcrcOf(pseudo, packet, covered, 0);
  for (size_t i = 0; i < kIcrcBytes; i++) rest ^= static_cast<uint32_t>(packet[covered + i]) << 8 * i;
  if (rest == 0 || !pseudo.is_ipv4()) return rest == 0;
  const Basis& basis = BasisOf(pseudo, packet, covered);
  for (size_t i = 32; i-- > 0;)
    if ((rest >> i & 1) != 0) rest ^= basis[i];
  return rest == 0;
}

void Check(const uint8_t* bytes, const int32_t* records, size_t count) {
  size_t record = 0;
  for (size_t slot = 0; slot < filled_slots; slot++) {
    const size_t whole = filled_bytes[slot];
    size_t at = slot * kSlotBytes;
    const size_t end = at + whole;
    for (size_t places = 0;; places++) {
      Must(record < count && places < kMaxDatagramsPerSlot, "a burst has as many records as datagrams");
      const int32_t* const fields = records + record++ * kRecordInts;
      const auto length = static_cast<size_t>(fields[kLength]);
      Must(fields[kOffset] >= 0 && fields[kLength] >= 0, "offset and length are no less than 0");
      Must(static_cast<size_t>(fields[kOffset]) == at && at + length <= end, "a record lies in its slot, after the last");
      Address source{};
      for (size_t i = 0; i < 4; i++) source.words[i] = static_cast<uint32_t>(fields[kSourceWord0 + i]);
      source.port = static_cast<uint16_t>(fields[kSourcePort]);
      PseudoHeader pseudo(source, own);
      const bool is_right = MayBeRight(pseudo, bytes + at, length);
      Must(is_right == (fields[kIsVerified] != 0), "a packet is verified exactly when its ICRC is right");
      at += length;
      if (at == end || places + 1 == kMaxDatagramsPerSlot) break;
    }
  }
  Must(record == count, "there are no more records than datagrams");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input all(data, size);
  input = &all;
  own = {};
  const bool is_ipv4 = !all.OneIn(4);
  if (is_ipv4) own.words[2] = 0xffff;
  own.words[3] = 0x0a000001;
  own.port = 4791;
  // As large as JavaScript makes them, so that a byte beyond is noticed.
  static std::vector<uint8_t> bytes(kSlots * kSlotBytes);
  static std::vector<int32_t> records(kSlots * kMaxDatagramsPerSlot * kRecordInts);
  Counters counters;
  ReceiveRing ring(bytes.data(), records.data(), kSlots, own, &counters);
  // Until the ring asks for more than one burst.
  for (int turn = 0; turn < 5 && all.left() > 0; turn++) {
    const int32_t count = ring.Receive(-1);
    Must(count >= 0 && static_cast<size_t>(count) <= kSlots * kMaxDatagramsPerSlot, "the number of datagrams fits");
    Check(bytes.data(), records.data(), static_cast<size_t>(count));
  }
  input = nullptr;
  return 0;
}
