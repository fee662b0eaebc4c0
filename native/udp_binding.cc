// The functions of a UDP port; src/native/udp-addon.ts is their description. Ports are named by handles.
#include <cstring>
#include <string>

#include "binding.h"
#include "handle_table.h"
#include "udp_port.h"

namespace queuepair {
namespace {

constexpr size_t kAddressInts = 5;

// The open ports of one environment. The table does not own the ports: each ends by itself.
struct Ports {
  struct Entry {
    UdpPort* port;
  };
  HandleTable<Entry> table;
};

template <size_t N>
UdpPort* PortOf(const Arguments<N>& arguments) {
  int32_t handle;
  if (!arguments.ok || !arguments.Int(0, &handle)) return nullptr;
  const Ports::Entry* entry = static_cast<Ports*>(arguments.data)->table.Find(handle);
  return entry == nullptr ? nullptr : entry->port;
}

// Five integers: the words of the address, most significant first, and the port.
Address ReadAddress(const int32_t* fields) {
  Address address{};
  for (size_t i = 0; i < 4; i++) address.words[i] = static_cast<uint32_t>(fields[i]);
  address.port = static_cast<uint16_t>(fields[4]);
  return address;
}

napi_value OpenPort(napi_env env, napi_callback_info info) {
  const Arguments<4> arguments(env, info);
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
      napi_typeof(env, arguments.values[3], &type) != napi_ok) {
    return nullptr;
  }
  const size_t slots = ring_length / kSlotBytes;
  if (address_length < kAddressInts || slots == 0 || type != napi_function) return nullptr;
  if (record_length < slots * kMaxDatagramsPerSlot * kRecordInts) return nullptr;
  auto* fields = static_cast<int32_t*>(address);
  const UdpPort::Memory memory{static_cast<uint8_t*>(ring), static_cast<int32_t*>(records), slots};
  UdpPort* port;
  const int error = UdpPort::Open(env, ReadAddress(fields), memory, arguments.values[3], &port);
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
  const Arguments<3> arguments(env, info);
  UdpPort* const port = PortOf(arguments);
  void* bytes;
  size_t length;
  int32_t is_shared;
  if (port == nullptr || !arguments.Array(1, napi_uint8_array, &bytes, &length) || !arguments.Int(2, &is_shared)) {
    return nullptr;
  }
  auto region = std::make_unique<Region>(Region{static_cast<const uint8_t*>(bytes), length, is_shared != 0});
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
  const int32_t handle = port->transmitter().AddFlow(
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

napi_value Send(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  UdpPort* const port = PortOf(arguments);
  int32_t batch;
  int32_t count;
  if (port == nullptr || !arguments.Int(1, &batch) || !arguments.Int(2, &count) || count < 0) return nullptr;
  port->Send(batch, static_cast<uint32_t>(count));
  return FromInt(env, port->IsBlocked() ? 1 : 0);
}

napi_value Receive(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  UdpPort* const port = PortOf(arguments);
  int32_t looks;
  if (port == nullptr || !arguments.Int(1, &looks)) return nullptr;
  return FromInt(env, port->Receive(looks));
}

napi_value SetListening(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  UdpPort* const port = PortOf(arguments);
  int32_t is_listening;
  if (port != nullptr && arguments.Int(1, &is_listening)) port->SetListening(is_listening != 0);
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
  SetCount(env, object, "segmentedSends", counters.segmented_sends);
  SetCount(env, object, "heldSends", counters.held_sends);
  SetCount(env, object, "skippedPackets", counters.skipped_packets);
  SetCount(env, object, "receives", counters.receives);
  SetCount(env, object, "receivedDatagrams", counters.received_datagrams);
  SetCount(env, object, "solvedIdentifications", counters.solved_identifications);
  SetCount(env, object, "ignoredDatagrams", counters.ignored_datagrams);
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
  SetFunction(env, exports, "openPort", OpenPort, ports);
  SetFunction(env, exports, "closePort", ClosePort, ports);
  SetFunction(env, exports, "addBatch", AddBatch, ports);
  SetFunction(env, exports, "addRegion", AddRegion, ports);
  SetFunction(env, exports, "removeRegion", RemoveRegion, ports);
  SetFunction(env, exports, "addFlow", AddFlow, ports);
  SetFunction(env, exports, "removeFlow", RemoveFlow, ports);
  SetFunction(env, exports, "send", Send, ports);
  SetFunction(env, exports, "receive", Receive, ports);
  SetFunction(env, exports, "setListening", SetListening, ports);
  SetFunction(env, exports, "flush", Flush, ports);
  SetFunction(env, exports, "counters", GetCounters, ports);
}

}  // namespace queuepair
