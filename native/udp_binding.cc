// The functions of a UDP port; src/native/udp-addon.ts is their description. Ports are named by handles.
#include <sched.h>
#include <uv.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>

#include "binding.h"
#include "handle_table.h"
#include "udp_port.h"

namespace queuepair {
namespace {

constexpr size_t kAddressInts = 5;
// 30 years: what fits into nanoseconds.
constexpr double kMaxMillis = 1e12;

// The memory through which arguments and results of the fast calls go, in the order of `CallField` in
// src/native/udp-addon.ts: Node-API takes longer to unpack an argument than to make the call.
struct Call {
  int32_t port;
  int32_t batch;
  int32_t count;
  int32_t looks;
  int32_t result;
  int32_t may_have_more;
  double looked_at;
};
static_assert(sizeof(Call) == 32 && offsetof(Call, looked_at) == 24);

// The open ports of one environment. The table does not own the ports: each ends by itself.
struct Ports {
  struct Entry {
    UdpPort* port;
  };

  UdpPort* Find(int32_t handle) const {
    const Entry* entry = table.Find(handle);
    return entry == nullptr ? nullptr : entry->port;
  }

  HandleTable<Entry> table;
  // In an ArrayBuffer that is kept.
  Call* call = nullptr;
  // What uv_hrtime said when performance.now() began, or somewhat more.
  int64_t clock_start = std::numeric_limits<int64_t>::max();
};

template <size_t N>
UdpPort* PortOf(const Arguments<N>& arguments) {
  int32_t handle;
  if (!arguments.ok || !arguments.Int(0, &handle)) return nullptr;
  return static_cast<Ports*>(arguments.data)->Find(handle);
}

// Five integers: the words of the address, most significant first, and the port.
Address ReadAddress(const int32_t* fields) {
  Address address{};
  for (size_t i = 0; i < 4; i++) address.words[i] = static_cast<uint32_t>(fields[i]);
  address.port = static_cast<uint16_t>(fields[4]);
  return address;
}

napi_value OpenPort(napi_env env, napi_callback_info info) {
  const Arguments<5> arguments(env, info);
  int32_t wants_rings;
  void* address;
  void* ring;
  void* records;
  size_t address_length;
  size_t ring_length;
  size_t record_length;
  napi_valuetype type;
  if (!arguments.ok || !arguments.Array(0, napi_int32_array, &address, &address_length) ||
      !arguments.Array(1, napi_uint8_array, &ring, &ring_length) ||
      !arguments.Array(2, napi_int32_array, &records, &record_length) ||
      napi_typeof(env, arguments.values[3], &type) != napi_ok || !arguments.Int(4, &wants_rings)) {
    return nullptr;
  }
  const size_t slots = ring_length / kSlotBytes;
  if (address_length < kAddressInts || slots == 0 || type != napi_function) return nullptr;
  if (wants_rings != 0 && slots < kRingSlots) return nullptr;
  if (record_length < slots * kMaxDatagramsPerSlot * kRecordInts) return nullptr;
  auto* fields = static_cast<int32_t*>(address);
  const UdpPort::Memory memory{static_cast<uint8_t*>(ring), static_cast<int32_t*>(records), slots};
  UdpPort* port;
  const int error = UdpPort::Open(env, ReadAddress(fields), memory, arguments.values[3], wants_rings != 0, &port);
  if (error != 0) return FromInt(env, -error);
  port->Keep(arguments.values[1]);
  port->Keep(arguments.values[2]);
  fields[4] = port->address().port;
  auto entry = std::make_unique<Ports::Entry>(Ports::Entry{port});
  return FromInt(env, static_cast<Ports*>(arguments.data)->table.Add(std::move(entry)));
}

napi_value ClosePort(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  UdpPort* const port = PortOf(arguments);
  if (port == nullptr) return nullptr;
  int32_t handle = 0;
  arguments.Int(0, &handle);
  static_cast<Ports*>(arguments.data)->table.Remove(handle);
  port->Close();
  return nullptr;
}

napi_value AddBatch(napi_env env, napi_callback_info info) {
  const Arguments<9> arguments(env, info);
  UdpPort* const port = PortOf(arguments);
  if (port == nullptr) return nullptr;
  constexpr napi_typedarray_type kTypes[] = {napi_uint8_array,   napi_uint8_array, napi_int32_array, napi_int32_array,
                                             napi_float64_array, napi_int32_array, napi_int32_array, napi_int32_array};
  void* bytes[8];
  size_t lengths[8];
  for (size_t i = 0; i < 8; i++) {
    if (!arguments.Array(i + 1, kTypes[i], &bytes[i], &lengths[i])) return nullptr;
  }
  const size_t capacity = lengths[1];
  const size_t segments = lengths[4];
  const bool fits = lengths[0] >= capacity * 64 && lengths[2] >= capacity && lengths[3] >= capacity + 1 &&
                    lengths[5] >= segments && lengths[6] >= capacity && lengths[7] >= segments;
  if (!fits) return nullptr;
  for (size_t i = 1; i < 9; i++) port->Keep(arguments.values[i]);
  const Batch batch{static_cast<uint32_t>(capacity),        static_cast<uint32_t>(segments),
                    static_cast<const uint8_t*>(bytes[0]),  static_cast<const uint8_t*>(bytes[1]),
                    static_cast<const int32_t*>(bytes[2]),  static_cast<const int32_t*>(bytes[3]),
                    static_cast<const double*>(bytes[4]),   static_cast<const int32_t*>(bytes[5]),
                    static_cast<const int32_t*>(bytes[6]),  static_cast<const int32_t*>(bytes[7])};
  return FromInt(env, port->transmitter().AddBatch(batch));
}

napi_value AddRegion(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  UdpPort* const port = PortOf(arguments);
  void* bytes;
  size_t length;
  if (port == nullptr || !arguments.Array(1, napi_uint8_array, &bytes, &length)) return nullptr;
  auto region = std::make_unique<Region>(Region{static_cast<const uint8_t*>(bytes), length});
  return FromInt(env, port->transmitter().regions().Add(std::move(region)));
}

napi_value RemoveRegion(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  UdpPort* const port = PortOf(arguments);
  int32_t handle;
  if (port != nullptr && arguments.Int(1, &handle)) port->transmitter().regions().Remove(handle);
  return nullptr;
}

// Twelve integers: source, destination, traffic class, hop limit.
napi_value AddFlow(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  UdpPort* const port = PortOf(arguments);
  void* bytes;
  size_t length;
  if (port == nullptr || !arguments.Array(1, napi_int32_array, &bytes, &length)) return nullptr;
  if (length < 2 * kAddressInts + 2) return nullptr;
  const auto* fields = static_cast<const int32_t*>(bytes);
  const int32_t handle = port->AddFlow(
      ReadAddress(fields), ReadAddress(fields + kAddressInts), static_cast<uint8_t>(fields[2 * kAddressInts]),
      static_cast<uint8_t>(fields[2 * kAddressInts + 1]));
  return FromInt(env, handle);
}

napi_value RemoveFlow(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  UdpPort* const port = PortOf(arguments);
  int32_t handle;
  if (port != nullptr && arguments.Int(1, &handle)) port->transmitter().flows().Remove(handle);
  return nullptr;
}

// The ports, for a call without arguments.
Ports* PortsOf(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
  return static_cast<Ports*>(data);
}

napi_value Send(napi_env env, napi_callback_info info) {
  const Ports* const ports = PortsOf(env, info);
  Call& call = *ports->call;
  UdpPort* const port = ports->Find(call.port);
  call.result = 0;
  if (port == nullptr || call.count < 0) return nullptr;
  port->Send(call.batch, static_cast<uint32_t>(call.count));
  call.result = port->IsBlocked() ? 1 : 0;
  return nullptr;
}

napi_value Receive(napi_env env, napi_callback_info info) {
  const Ports* const ports = PortsOf(env, info);
  Call& call = *ports->call;
  UdpPort* const port = ports->Find(call.port);
  call.result = 0;
  if (port == nullptr) return nullptr;
  call.result = port->Receive(call.looks);
  call.looked_at = static_cast<double>(static_cast<int64_t>(uv_hrtime()) - ports->clock_start) / 1000;
  if (call.result != 0) call.may_have_more = port->MayHaveMore() ? 1 : 0;
  return nullptr;
}

// Other work of this processor goes first: the kernel's own threads, which may hold what is looked for, and the peer.
napi_value GiveWay(napi_env, napi_callback_info) {
  sched_yield();
  return nullptr;
}

// `performance.now()` as it was just before, in milliseconds.
napi_value AlignClock(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  double now;
  if (!arguments.ok || napi_get_value_double(env, arguments.values[0], &now) != napi_ok) return nullptr;
  if (!(now >= 0 && now < kMaxMillis)) return nullptr;
  auto* const ports = static_cast<Ports*>(arguments.data);
  const int64_t start = static_cast<int64_t>(uv_hrtime()) - static_cast<int64_t>(now * 1e6);
  ports->clock_start = std::min(ports->clock_start, start);
  return nullptr;
}

napi_value SetListening(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  UdpPort* const port = PortOf(arguments);
  int32_t is_listening;
  if (port != nullptr && arguments.Int(1, &is_listening)) port->SetListening(is_listening != 0);
  return nullptr;
}

napi_value ReadHopLimits(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  UdpPort* const port = PortOf(arguments);
  if (port != nullptr) port->ReadHopLimits();
  return nullptr;
}

napi_value SetTurning(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  UdpPort* const port = PortOf(arguments);
  int32_t is_turning;
  if (port != nullptr && arguments.Int(1, &is_turning)) port->SetTurning(is_turning != 0);
  return nullptr;
}

// Whether the port is still blocked after trying again to send what it holds.
napi_value Flush(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  UdpPort* const port = PortOf(arguments);
  if (port == nullptr) return nullptr;
  port->Flush();
  return FromInt(env, port->IsBlocked() ? 1 : 0);
}

void SetCount(napi_env env, napi_value object, const char* name, uint64_t count) {
  napi_value value;
  if (napi_create_double(env, static_cast<double>(count), &value) == napi_ok) {
    napi_set_named_property(env, object, name, value);
  }
}

// Positive errno numbers as keys.
void SetErrors(napi_env env, napi_value object, const char* name, const std::map<int, uint64_t>& errors) {
  napi_value list;
  if (napi_create_object(env, &list) != napi_ok) return;
  for (const auto& [error, count] : errors) SetCount(env, list, std::to_string(error).c_str(), count);
  napi_set_named_property(env, object, name, list);
}

napi_value GetCounters(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  UdpPort* const port = PortOf(arguments);
  napi_value object;
  if (port == nullptr || napi_create_object(env, &object) != napi_ok) return nullptr;
  const Counters& counters = port->counters();
  SetCount(env, object, "sends", counters.sends);
  SetCount(env, object, "sentPackets", counters.sent_packets);
  SetCount(env, object, "connectedSends", counters.connected_sends);
  SetCount(env, object, "segmentedSends", counters.segmented_sends);
  SetCount(env, object, "heldSends", counters.held_sends);
  SetCount(env, object, "skippedPackets", counters.skipped_packets);
  SetCount(env, object, "receives", counters.receives);
  SetCount(env, object, "receivedDatagrams", counters.received_datagrams);
  SetCount(env, object, "solvedIdentifications", counters.solved_identifications);
  SetCount(env, object, "ignoredDatagrams", counters.ignored_datagrams);
  SetCount(env, object, "ringSentPackets", counters.ring_sent_packets);
  SetCount(env, object, "ringReceivedPackets", counters.ring_received_packets);
  SetCount(env, object, "ringWakes", counters.ring_wakes);
  SetCount(env, object, "ringOverflows", counters.ring_overflows);
  SetCount(env, object, "ringAsks", counters.ring_asks);
  SetCount(env, object, "ringFaults", counters.ring_faults);
  SetCount(env, object, "ringRefusals", counters.ring_refusals);
  SetCount(env, object, "rings", port->rings());
  SetCount(env, object, "regions", port->transmitter().regions().size());
  SetCount(env, object, "flows", port->transmitter().flows().size());
  SetErrors(env, object, "sendErrors", counters.send_errors);
  SetErrors(env, object, "receiveErrors", counters.receive_errors);
  return object;
}

}  // namespace

void RegisterUdp(napi_env env, napi_value exports) {
  auto* ports = new Ports;
  const auto release = [](void* data) { delete static_cast<Ports*>(data); };
  if (napi_add_env_cleanup_hook(env, release, ports) != napi_ok) {
    delete ports;
    return;
  }
  void* call;
  napi_value buffer;
  napi_ref kept;
  if (napi_create_arraybuffer(env, sizeof(Call), &call, &buffer) != napi_ok ||
      napi_create_reference(env, buffer, 1, &kept) != napi_ok ||
      napi_set_named_property(env, exports, "call", buffer) != napi_ok) {
    return;
  }
  ports->call = new (call) Call{};
  SetFunction(env, exports, "openPort", OpenPort, ports);
  SetFunction(env, exports, "closePort", ClosePort, ports);
  SetFunction(env, exports, "addBatch", AddBatch, ports);
  SetFunction(env, exports, "addRegion", AddRegion, ports);
  SetFunction(env, exports, "removeRegion", RemoveRegion, ports);
  SetFunction(env, exports, "addFlow", AddFlow, ports);
  SetFunction(env, exports, "removeFlow", RemoveFlow, ports);
  SetFunction(env, exports, "send", Send, ports);
  SetFunction(env, exports, "receive", Receive, ports);
  SetFunction(env, exports, "alignClock", AlignClock, ports);
  SetFunction(env, exports, "setListening", SetListening, ports);
  SetFunction(env, exports, "readHopLimits", ReadHopLimits, ports);
  SetFunction(env, exports, "setTurning", SetTurning, ports);
  SetFunction(env, exports, "flush", Flush, ports);
  SetFunction(env, exports, "giveWay", GiveWay, ports);
  SetFunction(env, exports, "counters", GetCounters, ports);
}

}  // namespace queuepair
