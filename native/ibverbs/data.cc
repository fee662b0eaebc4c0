// The fast verbs: post, poll and arm, through the operations table of the device. They are synchronous and allocate
// nothing. Requests and completions lie in one buffer shared with JavaScript, whose layout is here and in
// src/ibverbs/request-buffer.ts.
#include "objects.h"

#if QUEUEPAIR_HAS_VERBS

#include <arpa/inet.h>

#include <cstddef>

namespace queuepair {
namespace {

constexpr size_t kMaxRequests = 64;
constexpr size_t kMaxSges = 1024;
constexpr size_t kMaxCompletions = 256;
constexpr int kLooks = 8;

// One send request as JavaScript writes it.
struct Request {
  double wr_id;
  uint32_t opcode;
  uint32_t flags;
  uint32_t sge_count;
  uint32_t first_sge;
  uint32_t imm_or_rkey;
  uint32_t rkey;
  uint64_t remote_addr;
  uint64_t compare_add;
  uint64_t swap;
  int32_t ah;
  uint32_t remote_qpn;
  uint32_t remote_qkey;
  int32_t mw;
  int32_t mr;
  uint32_t bind_access;
  uint64_t bind_addr;
  double bind_length;
};
static_assert(sizeof(Request) == 96);

struct Layout {
  // Word 0: how many requests of a call were posted.
  uint32_t posted;
  uint32_t reserved[15];
  Request requests[kMaxRequests];
  ibv_sge sges[kMaxSges];
  ibv_wc completions[kMaxCompletions];
};
// What JavaScript counts on.
static_assert(offsetof(Layout, requests) == 64);
static_assert(sizeof(ibv_sge) == 16 && offsetof(ibv_sge, length) == 8 && offsetof(ibv_sge, lkey) == 12);
static_assert(sizeof(ibv_wc) == 48 && offsetof(ibv_wc, status) == 8 && offsetof(ibv_wc, opcode) == 12);
static_assert(offsetof(ibv_wc, vendor_err) == 16 && offsetof(ibv_wc, byte_len) == 20);
static_assert(offsetof(ibv_wc, imm_data) == 24 && offsetof(ibv_wc, qp_num) == 28);
static_assert(offsetof(ibv_wc, src_qp) == 32 && offsetof(ibv_wc, wc_flags) == 36);

Layout* LayoutOf(const Objects& objects) { return reinterpret_cast<Layout*>(objects.shared.bytes); }

uint64_t ToWrId(double id) { return static_cast<uint64_t>(static_cast<int64_t>(id)); }

// False when a handle names nothing: the caller's object was closed.
bool Fill(const Objects& objects, const Request& from, ibv_send_wr* to) {
  to->wr_id = ToWrId(from.wr_id);
  to->opcode = static_cast<ibv_wr_opcode>(from.opcode);
  to->send_flags = from.flags;
  to->num_sge = static_cast<int>(from.sge_count);
  to->sg_list = LayoutOf(objects)->sges + from.first_sge;
  switch (from.opcode) {
    case IBV_WR_SEND_WITH_IMM:
    case IBV_WR_RDMA_WRITE_WITH_IMM:
      to->imm_data = htonl(from.imm_or_rkey);
      break;
    default:
      to->invalidate_rkey = from.imm_or_rkey;
  }
  switch (from.opcode) {
    case IBV_WR_ATOMIC_CMP_AND_SWP:
    case IBV_WR_ATOMIC_FETCH_AND_ADD:
      to->wr.atomic.remote_addr = from.remote_addr;
      to->wr.atomic.compare_add = from.compare_add;
      to->wr.atomic.swap = from.swap;
      to->wr.atomic.rkey = from.rkey;
      break;
    case IBV_WR_BIND_MW:
      to->bind_mw.mw = objects.Get<ibv_mw>(from.mw, Kind::kMw);
      to->bind_mw.rkey = from.rkey;
      to->bind_mw.bind_info.mr = objects.Get<ibv_mr>(from.mr, Kind::kMr);
      to->bind_mw.bind_info.addr = from.bind_addr;
      to->bind_mw.bind_info.length = static_cast<uint64_t>(from.bind_length);
      to->bind_mw.bind_info.mw_access_flags = from.bind_access;
      return to->bind_mw.mw != nullptr && to->bind_mw.bind_info.mr != nullptr;
    default:
      if (from.ah == 0) {
        to->wr.rdma.remote_addr = from.remote_addr;
        to->wr.rdma.rkey = from.rkey;
        break;
      }
      to->wr.ud.ah = objects.Get<ibv_ah>(from.ah, Kind::kAh);
      to->wr.ud.remote_qpn = from.remote_qpn;
      to->wr.ud.remote_qkey = from.remote_qkey;
      return to->wr.ud.ah != nullptr;
  }
  return true;
}

// The handle and the count of a call that posts or polls.
struct FastCall {
  FastCall(napi_env env, napi_callback_info info, int32_t max_count) : arguments(env, info) {
    objects = static_cast<Objects*>(arguments.data);
    ok = arguments.ok && objects->shared.bytes != nullptr && arguments.Int(0, &handle) && arguments.Int(1, &count) &&
         count >= 0 && count <= max_count;
  }

  Arguments<2> arguments;
  Objects* objects;
  int32_t handle = 0;
  int32_t count = 0;
  bool ok;
};

template <typename Request>
int32_t CountPosted(int32_t count, int error, const Request* first, const Request* bad) {
  if (error == 0) return count;
  return bad == nullptr ? 0 : static_cast<int32_t>(bad - first);
}

// postSend(qp, count): 0 or an errno; word 0 says how many were posted.
napi_value PostSend(napi_env env, napi_callback_info info) {
  const FastCall call(env, info, kMaxRequests);
  auto* const qp = call.ok ? call.objects->Get<ibv_qp>(call.handle, Kind::kQp) : nullptr;
  if (qp == nullptr) return nullptr;
  Layout* const layout = LayoutOf(*call.objects);
  ibv_send_wr requests[kMaxRequests];
  int32_t filled = 0;
  while (filled < call.count && Fill(*call.objects, layout->requests[filled], &requests[filled])) {
    requests[filled].next = &requests[filled + 1];
    filled++;
  }
  int error = 0;
  ibv_send_wr* bad = nullptr;
  if (filled > 0) {
    requests[filled - 1].next = nullptr;
    errno = 0;
    error = ErrorOf(ibv_post_send(qp, requests, &bad));
  }
  const int32_t posted = CountPosted(filled, error, requests, bad);
  // The library leaves it to the program to note the new key of a window, and reads it at the next bind.
  for (int32_t i = 0; i < posted; i++) {
    if (requests[i].opcode == IBV_WR_BIND_MW) requests[i].bind_mw.mw->rkey = requests[i].bind_mw.rkey;
  }
  layout->posted = static_cast<uint32_t>(posted);
  return FromInt(env, error != 0 || filled == call.count ? error : EINVAL);
}

void FillReceives(Layout* layout, int32_t count, ibv_recv_wr* receives) {
  for (int32_t i = 0; i < count; i++) {
    const Request& from = layout->requests[i];
    receives[i].wr_id = ToWrId(from.wr_id);
    receives[i].num_sge = static_cast<int>(from.sge_count);
    receives[i].sg_list = layout->sges + from.first_sge;
    receives[i].next = i + 1 < count ? &receives[i + 1] : nullptr;
  }
}

// postRecv(qp, count), postSrqRecv(srq, count): as postSend.
napi_value PostRecv(napi_env env, napi_callback_info info) {
  const FastCall call(env, info, kMaxRequests);
  auto* const qp = call.ok ? call.objects->Get<ibv_qp>(call.handle, Kind::kQp) : nullptr;
  if (qp == nullptr || call.count == 0) return nullptr;
  Layout* const layout = LayoutOf(*call.objects);
  ibv_recv_wr receives[kMaxRequests];
  FillReceives(layout, call.count, receives);
  ibv_recv_wr* bad = nullptr;
  errno = 0;
  const int error = ErrorOf(ibv_post_recv(qp, receives, &bad));
  layout->posted = static_cast<uint32_t>(CountPosted(call.count, error, receives, bad));
  return FromInt(env, error);
}

napi_value PostSrqRecv(napi_env env, napi_callback_info info) {
  const FastCall call(env, info, kMaxRequests);
  auto* const srq = call.ok ? call.objects->Get<ibv_srq>(call.handle, Kind::kSrq) : nullptr;
  if (srq == nullptr || call.count == 0) return nullptr;
  Layout* const layout = LayoutOf(*call.objects);
  ibv_recv_wr receives[kMaxRequests];
  FillReceives(layout, call.count, receives);
  ibv_recv_wr* bad = nullptr;
  errno = 0;
  const int error = ErrorOf(ibv_post_srq_recv(srq, receives, &bad));
  layout->posted = static_cast<uint32_t>(CountPosted(call.count, error, receives, bad));
  return FromInt(env, error);
}

// pollCq(cq, max): how many completions lie in the buffer, or a negative errno. An empty queue is looked at a few times:
// that costs less than the way from JavaScript and back.
napi_value PollCq(napi_env env, napi_callback_info info) {
  const FastCall call(env, info, kMaxCompletions);
  auto* const cq = call.ok ? call.objects->Get<ibv_cq>(call.handle, Kind::kCq) : nullptr;
  if (cq == nullptr) return nullptr;
  ibv_wc* const completions = LayoutOf(*call.objects)->completions;
  errno = 0;
  int count = 0;
  for (int looks = 0; looks < kLooks && count == 0; looks++) count = ibv_poll_cq(cq, call.count, completions);
  if (count < 0) return FromInt(env, -ErrorOf(count));
  for (int i = 0; i < count; i++) {
    if ((completions[i].wc_flags & IBV_WC_WITH_IMM) != 0) completions[i].imm_data = ntohl(completions[i].imm_data);
  }
  return FromInt(env, count);
}

// reqNotify(cq, solicitedOnly): 0 or an errno.
napi_value ReqNotify(napi_env env, napi_callback_info info) {
  const FastCall call(env, info, 1);
  auto* const cq = call.ok ? call.objects->Get<ibv_cq>(call.handle, Kind::kCq) : nullptr;
  if (cq == nullptr) return nullptr;
  errno = 0;
  return FromInt(env, ErrorOf(ibv_req_notify_cq(cq, call.count)));
}

// useBuffer(bytes): the address of the buffer, or undefined when it is too short.
napi_value UseBuffer(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  void* bytes;
  size_t length;
  if (!arguments.ok || !arguments.Array(0, napi_uint8_array, &bytes, &length) || length < sizeof(Layout)) {
    return nullptr;
  }
  auto* const objects = static_cast<Objects*>(arguments.data);
  if (objects->shared.reference != nullptr) napi_delete_reference(env, objects->shared.reference);
  napi_create_reference(env, arguments.values[0], 1, &objects->shared.reference);
  objects->shared.bytes = static_cast<uint8_t*>(bytes);
  objects->shared.length = length;
  napi_value address = nullptr;
  napi_create_double(env, static_cast<double>(reinterpret_cast<uintptr_t>(bytes)), &address);
  return address;
}

}  // namespace

void RegisterData(napi_env env, napi_value exports, Objects* objects) {
  SetFunction(env, exports, "useBuffer", UseBuffer, objects);
  SetFunction(env, exports, "postSend", PostSend, objects);
  SetFunction(env, exports, "postRecv", PostRecv, objects);
  SetFunction(env, exports, "postSrqRecv", PostSrqRecv, objects);
  SetFunction(env, exports, "pollCq", PollCq, objects);
  SetFunction(env, exports, "reqNotify", ReqNotify, objects);
}

}  // namespace queuepair

#endif
