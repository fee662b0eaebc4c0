// Finding, opening and asking devices. See control.h for what all control verbs have in common.
#include "control.h"

#if QUEUEPAIR_HAS_VERBS

#include <cstring>
#include <string>
#include <vector>

namespace queuepair {
namespace {

// load(path): null, or why the library cannot be used.
napi_value Load(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  if (!arguments.ok) return nullptr;
  const std::string problem = Library::Load(Text(arguments, 0).c_str());
  if (!problem.empty()) return FromText(env, problem);
  napi_value nothing;
  napi_get_null(env, &nothing);
  return nothing;
}

// list(): the names of the devices.
napi_value List(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  if (ObjectsOf(arguments) == nullptr) return nullptr;
  auto names = std::make_shared<std::vector<std::string>>();
  return RunTask(
      env, {},
      [names] {
        const Library& library = *Library::Get();
        errno = 0;
        int count = 0;
        ibv_device** const devices = library.get_device_list(&count);
        if (devices == nullptr) return LastError();
        for (int i = 0; i < count; i++) names->emplace_back(library.get_device_name(devices[i]));
        library.free_device_list(devices);
        return 0;
      },
      [names](napi_env finished) {
        napi_value list;
        napi_create_array(finished, &list);
        for (uint32_t i = 0; i < names->size(); i++) {
          napi_set_element(finished, list, i, FromText(finished, (*names)[i]));
        }
        return list;
      });
}

ibv_context* OpenByName(const std::string& name) {
  const Library& library = *Library::Get();
  ibv_device** const devices = library.get_device_list(nullptr);
  if (devices == nullptr) return nullptr;
  ibv_context* context = nullptr;
  errno = ENODEV;
  for (ibv_device** device = devices; *device != nullptr; device++) {
    if (name != library.get_device_name(*device)) continue;
    errno = 0;
    context = library.open_device(*device);
    break;
  }
  const int error = errno;
  library.free_device_list(devices);
  errno = error;
  return context;
}

// What an event is about: the handle of an object, or the number of a port.
int32_t SubjectOf(const ibv_async_event& event) {
  const auto handle_of = [](void* context) { return context == nullptr ? 0 : static_cast<Object*>(context)->handle; };
  switch (event.event_type) {
    case IBV_EVENT_CQ_ERR:
      return handle_of(event.element.cq->cq_context);
    case IBV_EVENT_QP_FATAL:
    case IBV_EVENT_QP_REQ_ERR:
    case IBV_EVENT_QP_ACCESS_ERR:
    case IBV_EVENT_COMM_EST:
    case IBV_EVENT_SQ_DRAINED:
    case IBV_EVENT_PATH_MIG:
    case IBV_EVENT_PATH_MIG_ERR:
    case IBV_EVENT_QP_LAST_WQE_REACHED:
      return handle_of(event.element.qp->qp_context);
    case IBV_EVENT_SRQ_ERR:
    case IBV_EVENT_SRQ_LIMIT_REACHED:
      return handle_of(event.element.srq->srq_context);
    case IBV_EVENT_DEVICE_FATAL:
    case IBV_EVENT_WQ_FATAL:
      return 0;
    default:
      return event.element.port_num;
  }
}

void DrainAsyncEvents(ibv_context* context, const FdWatcher::Report& report) {
  ibv_async_event event;
  while (Library::Get()->get_async_event(context, &event) == 0) {
    report(static_cast<int32_t>(event.event_type), SubjectOf(event));
    Library::Get()->ack_async_event(&event);
  }
}

// open(name, onEvent(type, subject)): a device.
napi_value Open(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  Objects* const objects = ObjectsOf(arguments);
  Callback callback;
  if (objects == nullptr || !callback.Take(arguments, 1)) return nullptr;
  const std::string name = Text(arguments, 0);
  return MakeObject(
      env, objects, Kind::kDevice, {}, [name](Object*) { return static_cast<void*>(OpenByName(name)); },
      [callback](napi_env finished, Object* object) {
        auto* const context = static_cast<ibv_context*>(object->pointer);
        callback.Watch(finished, object, context->async_fd,
                       [context](const FdWatcher::Report& report) { DrainAsyncEvents(context, report); });
      },
      [callback](napi_env failed) { napi_delete_reference(failed, callback.reference); });
}

// queryDevice(device, out): 19 numbers.
napi_value QueryDevice(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  auto* const context = Named<ibv_context>(arguments, 0, Kind::kDevice);
  double* const out = Numbers(arguments, 1, 19);
  if (context == nullptr || out == nullptr) return nullptr;
  auto attributes = std::make_shared<ibv_device_attr>();
  return RunTask(
      env, {arguments.values[1]},
      [context, attributes] {
        errno = 0;
        return ErrorOf(Library::Get()->query_device(context, attributes.get()));
      },
      [attributes, out](napi_env finished) {
        const ibv_device_attr& a = *attributes;
        const double values[] = {
            static_cast<double>(a.max_qp),         static_cast<double>(a.max_qp_wr),
            static_cast<double>(a.max_sge),        static_cast<double>(a.max_sge_rd),
            static_cast<double>(a.max_cq),         static_cast<double>(a.max_cqe),
            static_cast<double>(a.max_mr),         static_cast<double>(a.max_mr_size),
            static_cast<double>(a.max_pd),         static_cast<double>(a.max_mw),
            static_cast<double>(a.max_srq),        static_cast<double>(a.max_srq_wr),
            static_cast<double>(a.max_srq_sge),    static_cast<double>(a.max_qp_rd_atom),
            static_cast<double>(a.max_qp_init_rd_atom), static_cast<double>(a.atomic_cap),
            static_cast<double>(a.device_cap_flags), static_cast<double>(a.phys_port_cnt),
            static_cast<double>(a.max_ah),
        };
        memcpy(out, values, sizeof(values));
        return Succeed(finished);
      });
}

int QueryPortAttributes(ibv_context* context, uint8_t port, ibv_port_attr* out) {
  memset(out, 0, sizeof(*out));
  errno = 0;
  verbs_context* const extended = verbs_get_ctx_op(context, query_port);
  if (extended != nullptr) return ErrorOf(extended->query_port(context, port, out, sizeof(*out)));
  return ErrorOf(Library::Get()->query_port(context, port, out));
}

// queryPort(device, port, out): 7 numbers.
napi_value QueryPort(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  auto* const context = Named<ibv_context>(arguments, 0, Kind::kDevice);
  int32_t port;
  double* const out = Numbers(arguments, 2, 7);
  if (context == nullptr || out == nullptr || !arguments.Int(1, &port)) return nullptr;
  auto attributes = std::make_shared<ibv_port_attr>();
  return RunTask(
      env, {arguments.values[2]},
      [context, port, attributes] {
        return QueryPortAttributes(context, static_cast<uint8_t>(port), attributes.get());
      },
      [attributes, out](napi_env finished) {
        const ibv_port_attr& a = *attributes;
        const double values[] = {
            static_cast<double>(a.state),       static_cast<double>(a.active_mtu), static_cast<double>(a.max_msg_sz),
            static_cast<double>(a.link_layer),  static_cast<double>(a.lid),        static_cast<double>(a.gid_tbl_len),
            static_cast<double>(a.pkey_tbl_len),
        };
        memcpy(out, values, sizeof(values));
        return Succeed(finished);
      });
}

// queryGids(device, gids, facts): how many; 16 bytes each in `gids`, and index, port, type and network interface in
// `facts`.
napi_value QueryGids(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  auto* const context = Named<ibv_context>(arguments, 0, Kind::kDevice);
  void* bytes;
  size_t byte_length;
  if (context == nullptr || !arguments.Array(1, napi_uint8_array, &bytes, &byte_length)) return nullptr;
  const size_t capacity = byte_length / 16;
  double* const facts = Numbers(arguments, 2, capacity * 4);
  if (facts == nullptr) return nullptr;
  auto entries = std::make_shared<std::vector<ibv_gid_entry>>(capacity);
  return RunTask(
      env, {arguments.values[1], arguments.values[2]},
      [context, entries] {
        if (Library::Get()->query_gid_table == nullptr) return ENOSYS;
        errno = 0;
        const ssize_t count = Library::Get()->query_gid_table(context, entries->data(), entries->size(), 0,
                                                              sizeof(ibv_gid_entry));
        if (count < 0) return static_cast<int>(-count);
        entries->resize(static_cast<size_t>(count));
        return 0;
      },
      [entries, bytes, facts](napi_env finished) {
        for (size_t i = 0; i < entries->size(); i++) {
          const ibv_gid_entry& entry = (*entries)[i];
          memcpy(static_cast<uint8_t*>(bytes) + i * 16, entry.gid.raw, 16);
          facts[i * 4] = entry.gid_index;
          facts[i * 4 + 1] = entry.port_num;
          facts[i * 4 + 2] = entry.gid_type;
          facts[i * 4 + 3] = entry.ndev_ifindex;
        }
        return FromInt(finished, static_cast<int32_t>(entries->size()));
      });
}

}  // namespace

void RegisterDevices(napi_env env, napi_value exports, Objects* objects) {
  SetFunction(env, exports, "load", Load, objects);
  SetFunction(env, exports, "list", List, objects);
  SetFunction(env, exports, "open", Open, objects);
  SetFunction(env, exports, "queryDevice", QueryDevice, objects);
  SetFunction(env, exports, "queryPort", QueryPort, objects);
  SetFunction(env, exports, "queryGids", QueryGids, objects);
}

}  // namespace queuepair

#endif
