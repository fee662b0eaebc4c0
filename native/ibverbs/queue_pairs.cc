// Queue pairs and address handles. See control.h for what all control verbs have in common.
#include "attributes.h"
#include "control.h"

#if QUEUEPAIR_HAS_VERBS

#include <cstring>

namespace queuepair {
namespace {

// createQp(pd, type, sendCq, recvCq, srq or 0, signalAll, places): wants the capacity in `places` and puts there what
// was granted, and the QPN at kDestQpn.
napi_value CreateQp(napi_env env, napi_callback_info info) {
  const Arguments<7> arguments(env, info);
  Objects* const objects = ObjectsOf(arguments);
  auto* const pd = Named<ibv_pd>(arguments, 0, Kind::kPd);
  int32_t type;
  auto* const send_cq = Named<ibv_cq>(arguments, 2, Kind::kCq);
  auto* const recv_cq = Named<ibv_cq>(arguments, 3, Kind::kCq);
  int32_t srq_handle;
  auto* const srq = Named<ibv_srq>(arguments, 4, Kind::kSrq);
  int32_t signal_all;
  double* const places = Numbers(arguments, 6, kPlaces);
  if (pd == nullptr || send_cq == nullptr || recv_cq == nullptr || places == nullptr || !arguments.Int(1, &type) ||
      !arguments.Int(4, &srq_handle) || !arguments.Int(5, &signal_all) || (srq == nullptr && srq_handle != 0)) {
    return nullptr;
  }
  auto wanted = std::make_shared<ibv_qp_init_attr>();
  memset(wanted.get(), 0, sizeof(*wanted));
  wanted->send_cq = send_cq;
  wanted->recv_cq = recv_cq;
  wanted->srq = srq;
  wanted->qp_type = static_cast<ibv_qp_type>(type);
  wanted->sq_sig_all = signal_all;
  wanted->cap.max_send_wr = static_cast<uint32_t>(places[kMaxSendWr]);
  wanted->cap.max_recv_wr = static_cast<uint32_t>(places[kMaxRecvWr]);
  wanted->cap.max_send_sge = static_cast<uint32_t>(places[kMaxSendSge]);
  wanted->cap.max_recv_sge = static_cast<uint32_t>(places[kMaxRecvSge]);
  wanted->cap.max_inline_data = static_cast<uint32_t>(places[kMaxInlineData]);
  return MakeObject(
      env, objects, Kind::kQp, {arguments.values[6]},
      [pd, wanted](Object* object) {
        wanted->qp_context = object;
        return static_cast<void*>(Library::Get()->create_qp(pd, wanted.get()));
      },
      [wanted, places](napi_env, Object* object) {
        WriteCapacity(wanted->cap, places);
        places[kDestQpn] = static_cast<ibv_qp*>(object->pointer)->qp_num;
      });
}

// modifyQp(qp, mask, places)
napi_value ModifyQp(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  auto* const qp = Named<ibv_qp>(arguments, 0, Kind::kQp);
  int32_t mask;
  double* const places = Numbers(arguments, 2, kPlaces);
  if (qp == nullptr || places == nullptr || !arguments.Int(1, &mask)) return nullptr;
  const ibv_qp_attr attributes = ReadAttributes(places);
  return RunTask(
      env, {},
      [qp, mask, attributes] {
        ibv_qp_attr given = attributes;
        errno = 0;
        return ErrorOf(Library::Get()->modify_qp(qp, &given, mask));
      },
      Succeed);
}

// queryQp(qp, mask, places)
napi_value QueryQp(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  auto* const qp = Named<ibv_qp>(arguments, 0, Kind::kQp);
  int32_t mask;
  double* const places = Numbers(arguments, 2, kPlaces);
  if (qp == nullptr || places == nullptr || !arguments.Int(1, &mask)) return nullptr;
  auto attributes = std::make_shared<ibv_qp_attr>();
  return RunTask(
      env, {arguments.values[2]},
      [qp, mask, attributes] {
        ibv_qp_init_attr made;
        errno = 0;
        return ErrorOf(Library::Get()->query_qp(qp, attributes.get(), mask, &made));
      },
      [attributes, places](napi_env finished) {
        WriteAttributes(*attributes, places);
        return Succeed(finished);
      });
}

// createAh(pd, places)
napi_value CreateAh(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  Objects* const objects = ObjectsOf(arguments);
  auto* const pd = Named<ibv_pd>(arguments, 0, Kind::kPd);
  double* const places = Numbers(arguments, 1, kPlaces);
  if (pd == nullptr || places == nullptr) return nullptr;
  const ibv_ah_attr address = ReadAddress(places);
  return MakeObject(
      env, objects, Kind::kAh, {},
      [pd, address](Object*) {
        ibv_ah_attr given = address;
        return static_cast<void*>(Library::Get()->create_ah(pd, &given));
      },
      [](napi_env, Object*) {});
}

}  // namespace

void RegisterQueuePairs(napi_env env, napi_value exports, Objects* objects) {
  SetFunction(env, exports, "createQp", CreateQp, objects);
  SetFunction(env, exports, "modifyQp", ModifyQp, objects);
  SetFunction(env, exports, "queryQp", QueryQp, objects);
  SetFunction(env, exports, "createAh", CreateAh, objects);
}

}  // namespace queuepair

#endif
