// Queue pairs and address handles. See control.h for what all control verbs have in common. Attributes travel as an
// array of numbers; the places are those of src/ibverbs/attribute-array.ts.
#include "control.h"

#if QUEUEPAIR_HAS_VERBS

#include <arpa/inet.h>

#include <cstring>

namespace queuepair {
namespace {

enum Place : size_t {
  kState,
  kCurState,
  kEnSqdAsyncNotify,
  kAccessFlags,
  kPkeyIndex,
  kPort,
  kQkey,
  kPathMtu,
  kTimeout,
  kRetryCount,
  kRnrRetry,
  kRqPsn,
  kMaxRdAtomic,
  kMinRnrTimer,
  kSqPsn,
  kMaxDestRdAtomic,
  kDestQpn,
  // Address: the GID as four words, most significant first.
  kGidWord,
  kSgidIndex = kGidWord + 4,
  kHopLimit,
  kTrafficClass,
  kFlowLabel,
  kDlid,
  kAvPort,
  kIsGlobal,
  // Capacity.
  kMaxSendWr,
  kMaxRecvWr,
  kMaxSendSge,
  kMaxRecvSge,
  kMaxInlineData,
  kPlaces,
};

ibv_ah_attr ReadAddress(const double* places) {
  ibv_ah_attr address{};
  for (size_t i = 0; i < 4; i++) {
    const uint32_t word = htonl(static_cast<uint32_t>(places[kGidWord + i]));
    memcpy(address.grh.dgid.raw + i * 4, &word, 4);
  }
  address.grh.sgid_index = static_cast<uint8_t>(places[kSgidIndex]);
  address.grh.hop_limit = static_cast<uint8_t>(places[kHopLimit]);
  address.grh.traffic_class = static_cast<uint8_t>(places[kTrafficClass]);
  address.grh.flow_label = static_cast<uint32_t>(places[kFlowLabel]);
  address.dlid = static_cast<uint16_t>(places[kDlid]);
  address.is_global = places[kIsGlobal] != 0 ? 1 : 0;
  address.port_num = static_cast<uint8_t>(places[kAvPort]);
  return address;
}

void WriteAddress(const ibv_ah_attr& address, double* places) {
  for (size_t i = 0; i < 4; i++) {
    uint32_t word;
    memcpy(&word, address.grh.dgid.raw + i * 4, 4);
    places[kGidWord + i] = ntohl(word);
  }
  places[kSgidIndex] = address.grh.sgid_index;
  places[kHopLimit] = address.grh.hop_limit;
  places[kTrafficClass] = address.grh.traffic_class;
  places[kFlowLabel] = address.grh.flow_label;
  places[kDlid] = address.dlid;
  places[kAvPort] = address.port_num;
  places[kIsGlobal] = address.is_global;
}

ibv_qp_attr ReadAttributes(const double* places) {
  ibv_qp_attr a{};
  a.qp_state = static_cast<ibv_qp_state>(places[kState]);
  a.cur_qp_state = static_cast<ibv_qp_state>(places[kCurState]);
  a.en_sqd_async_notify = static_cast<uint8_t>(places[kEnSqdAsyncNotify]);
  a.qp_access_flags = static_cast<unsigned int>(places[kAccessFlags]);
  a.pkey_index = static_cast<uint16_t>(places[kPkeyIndex]);
  a.port_num = static_cast<uint8_t>(places[kPort]);
  a.qkey = static_cast<uint32_t>(places[kQkey]);
  a.path_mtu = static_cast<ibv_mtu>(places[kPathMtu]);
  a.timeout = static_cast<uint8_t>(places[kTimeout]);
  a.retry_cnt = static_cast<uint8_t>(places[kRetryCount]);
  a.rnr_retry = static_cast<uint8_t>(places[kRnrRetry]);
  a.rq_psn = static_cast<uint32_t>(places[kRqPsn]);
  a.max_rd_atomic = static_cast<uint8_t>(places[kMaxRdAtomic]);
  a.min_rnr_timer = static_cast<uint8_t>(places[kMinRnrTimer]);
  a.sq_psn = static_cast<uint32_t>(places[kSqPsn]);
  a.max_dest_rd_atomic = static_cast<uint8_t>(places[kMaxDestRdAtomic]);
  a.dest_qp_num = static_cast<uint32_t>(places[kDestQpn]);
  a.ah_attr = ReadAddress(places);
  return a;
}

void WriteCapacity(const ibv_qp_cap& cap, double* places) {
  places[kMaxSendWr] = cap.max_send_wr;
  places[kMaxRecvWr] = cap.max_recv_wr;
  places[kMaxSendSge] = cap.max_send_sge;
  places[kMaxRecvSge] = cap.max_recv_sge;
  places[kMaxInlineData] = cap.max_inline_data;
}

void WriteAttributes(const ibv_qp_attr& a, double* places) {
  places[kState] = a.qp_state;
  places[kCurState] = a.cur_qp_state;
  places[kEnSqdAsyncNotify] = a.en_sqd_async_notify;
  places[kAccessFlags] = a.qp_access_flags;
  places[kPkeyIndex] = a.pkey_index;
  places[kPort] = a.port_num;
  places[kQkey] = a.qkey;
  places[kPathMtu] = a.path_mtu;
  places[kTimeout] = a.timeout;
  places[kRetryCount] = a.retry_cnt;
  places[kRnrRetry] = a.rnr_retry;
  places[kRqPsn] = a.rq_psn;
  places[kMaxRdAtomic] = a.max_rd_atomic;
  places[kMinRnrTimer] = a.min_rnr_timer;
  places[kSqPsn] = a.sq_psn;
  places[kMaxDestRdAtomic] = a.max_dest_rd_atomic;
  places[kDestQpn] = a.dest_qp_num;
  WriteAddress(a.ah_attr, places);
  WriteCapacity(a.cap, places);
}

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
