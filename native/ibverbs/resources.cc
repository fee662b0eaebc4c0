// Protection domains, memory, completion queues and channels, shared receive queues; and what ends any object. See
// control.h for what all control verbs have in common.
#include "control.h"

#if QUEUEPAIR_HAS_VERBS

#include <cstring>

namespace queuepair {
namespace {

void Nothing(napi_env, Object*) {}

// allocPd(device)
napi_value AllocPd(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  Objects* const objects = ObjectsOf(arguments);
  auto* const context = Named<ibv_context>(arguments, 0, Kind::kDevice);
  if (context == nullptr) return nullptr;
  return MakeObject(
      env, objects, Kind::kPd, {}, [context](Object*) { return static_cast<void*>(Library::Get()->alloc_pd(context)); },
      Nothing);
}

ibv_mr* Register(ibv_pd* pd, void* bytes, size_t length, int access) {
  const Library& library = *Library::Get();
  if ((access & IBV_ACCESS_ZERO_BASED) == 0) return library.reg_mr(pd, bytes, length, access);
  if (library.reg_mr_iova == nullptr) {
    errno = EOPNOTSUPP;
    return nullptr;
  }
  return library.reg_mr_iova(pd, bytes, length, 0, access & ~IBV_ACCESS_ZERO_BASED);
}

// regMr(pd, bytes, access, out): address of the bytes in this process, lkey and rkey.
napi_value RegMr(napi_env env, napi_callback_info info) {
  const Arguments<4> arguments(env, info);
  Objects* const objects = ObjectsOf(arguments);
  auto* const pd = Named<ibv_pd>(arguments, 0, Kind::kPd);
  int32_t access;
  void* bytes;
  size_t length;
  double* const out = Numbers(arguments, 3, 3);
  napi_ref buffer;
  if (pd == nullptr || out == nullptr || !arguments.Int(2, &access) ||
      !arguments.Array(1, napi_uint8_array, &bytes, &length)) {
    return nullptr;
  }
  // Kept until the region is gone, or for good where the environment ends first.
  if (napi_create_reference(env, arguments.values[1], 1, &buffer) != napi_ok) return nullptr;
  return MakeObject(
      env, objects, Kind::kMr, {arguments.values[3]},
      [pd, bytes, length, access](Object*) { return static_cast<void*>(Register(pd, bytes, length, access)); },
      [out, bytes, buffer](napi_env, Object* object) {
        const auto* mr = static_cast<ibv_mr*>(object->pointer);
        object->buffer = buffer;
        out[0] = static_cast<double>(reinterpret_cast<uintptr_t>(bytes));
        out[1] = mr->lkey;
        out[2] = mr->rkey;
      },
      [buffer](napi_env failed) { napi_delete_reference(failed, buffer); });
}

void DrainCqEvents(ibv_comp_channel* channel, const FdWatcher::Report& report) {
  ibv_cq* cq;
  void* context;
  do {
    if (Library::Get()->get_cq_event(channel, &cq, &context) != 0) return;
    report(static_cast<Object*>(context)->handle, 0);
    Library::Get()->ack_cq_events(cq, 1);
    // A queue has one event for each time that it was armed: to look for a second one of a single queue would be a system
    // call for nothing. What is left all the same is found at the next turn of the event loop.
  } while (__atomic_load_n(&channel->refcnt, __ATOMIC_RELAXED) > 1);
}

// createChannel(device, onEvent(cq))
napi_value CreateChannel(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  Objects* const objects = ObjectsOf(arguments);
  auto* const context = Named<ibv_context>(arguments, 0, Kind::kDevice);
  Callback callback;
  if (context == nullptr || !callback.Take(arguments, 1)) return nullptr;
  return MakeObject(
      env, objects, Kind::kChannel, {},
      [context](Object*) { return static_cast<void*>(Library::Get()->create_comp_channel(context)); },
      [callback](napi_env finished, Object* object) {
        auto* const channel = static_cast<ibv_comp_channel*>(object->pointer);
        callback.Watch(finished, object, channel->fd,
                       [channel](const FdWatcher::Report& report) { DrainCqEvents(channel, report); });
      },
      [callback](napi_env failed) { napi_delete_reference(failed, callback.reference); });
}

// createCq(device, capacity, channel or 0, out): the capacity that was granted.
napi_value CreateCq(napi_env env, napi_callback_info info) {
  const Arguments<4> arguments(env, info);
  Objects* const objects = ObjectsOf(arguments);
  auto* const context = Named<ibv_context>(arguments, 0, Kind::kDevice);
  auto* const channel = Named<ibv_comp_channel>(arguments, 2, Kind::kChannel);
  int32_t capacity;
  int32_t channel_handle;
  double* const out = Numbers(arguments, 3, 1);
  if (context == nullptr || out == nullptr || !arguments.Int(1, &capacity) || !arguments.Int(2, &channel_handle) ||
      (channel == nullptr && channel_handle != 0)) {
    return nullptr;
  }
  return MakeObject(
      env, objects, Kind::kCq, {arguments.values[3]},
      [context, capacity, channel](Object* object) {
        return static_cast<void*>(Library::Get()->create_cq(context, capacity, object, channel, 0));
      },
      [out](napi_env, Object* object) { out[0] = static_cast<ibv_cq*>(object->pointer)->cqe; });
}

// createSrq(pd, sizes): requests and SGEs wanted, replaced by those granted.
napi_value CreateSrq(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  Objects* const objects = ObjectsOf(arguments);
  auto* const pd = Named<ibv_pd>(arguments, 0, Kind::kPd);
  double* const sizes = Numbers(arguments, 1, 2);
  if (pd == nullptr || sizes == nullptr) return nullptr;
  auto wanted = std::make_shared<ibv_srq_init_attr>();
  memset(wanted.get(), 0, sizeof(*wanted));
  wanted->attr.max_wr = static_cast<uint32_t>(sizes[0]);
  wanted->attr.max_sge = static_cast<uint32_t>(sizes[1]);
  return MakeObject(
      env, objects, Kind::kSrq, {arguments.values[1]},
      [pd, wanted](Object* object) {
        wanted->srq_context = object;
        return static_cast<void*>(Library::Get()->create_srq(pd, wanted.get()));
      },
      [wanted, sizes](napi_env, Object*) {
        sizes[0] = wanted->attr.max_wr;
        sizes[1] = wanted->attr.max_sge;
      });
}

// setSrqLimit(srq, limit)
napi_value SetSrqLimit(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  auto* const srq = Named<ibv_srq>(arguments, 0, Kind::kSrq);
  int32_t limit;
  if (srq == nullptr || !arguments.Int(1, &limit)) return nullptr;
  return RunTask(
      env, {},
      [srq, limit] {
        ibv_srq_attr attributes{};
        attributes.srq_limit = static_cast<uint32_t>(limit);
        errno = 0;
        return ErrorOf(Library::Get()->modify_srq(srq, &attributes, IBV_SRQ_LIMIT));
      },
      Succeed);
}

// allocMw(pd, out): the first rkey of a type 2 window.
napi_value AllocMw(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  Objects* const objects = ObjectsOf(arguments);
  auto* const pd = Named<ibv_pd>(arguments, 0, Kind::kPd);
  double* const out = Numbers(arguments, 1, 1);
  if (pd == nullptr || out == nullptr) return nullptr;
  return MakeObject(
      env, objects, Kind::kMw, {arguments.values[1]},
      [pd](Object*) {
        if (pd->context->ops.alloc_mw == nullptr) {
          errno = EOPNOTSUPP;
          return static_cast<void*>(nullptr);
        }
        return static_cast<void*>(ibv_alloc_mw(pd, IBV_MW_TYPE_2));
      },
      [out](napi_env, Object* object) { out[0] = static_cast<ibv_mw*>(object->pointer)->rkey; });
}

// close(handle): destroys any object. Events stop at once.
napi_value Close(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  Objects* const objects = ObjectsOf(arguments);
  int32_t handle;
  if (objects == nullptr || !arguments.Int(0, &handle)) return nullptr;
  Object* const object = objects->Find(handle);
  if (object == nullptr) return nullptr;
  if (object->watcher != nullptr) object->watcher->Stop();
  object->watcher = nullptr;
  return RunTask(
      env, {}, [object] { return Destroy(object->kind, object->pointer); },
      [objects, handle](napi_env finished) {
        objects->Remove(handle);
        return Succeed(finished);
      });
}

}  // namespace

void RegisterResources(napi_env env, napi_value exports, Objects* objects) {
  SetFunction(env, exports, "allocPd", AllocPd, objects);
  SetFunction(env, exports, "regMr", RegMr, objects);
  SetFunction(env, exports, "createChannel", CreateChannel, objects);
  SetFunction(env, exports, "createCq", CreateCq, objects);
  SetFunction(env, exports, "createSrq", CreateSrq, objects);
  SetFunction(env, exports, "setSrqLimit", SetSrqLimit, objects);
  SetFunction(env, exports, "allocMw", AllocMw, objects);
  SetFunction(env, exports, "close", Close, objects);
}

}  // namespace queuepair

#endif
