// The fast verbs: post, poll and arm, through the operations table of the device. They are synchronous and allocate
// nothing. Arguments, requests, completions and results lie in one buffer shared with JavaScript, whose layout is here
// and in src/ibverbs/request-buffer.ts; a call that names nothing, or too many, does nothing.
#include "objects.h"

#if QUEUEPAIR_HAS_VERBS

#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>

namespace queuepair {
namespace {

constexpr size_t kMaxRequests = 64;
constexpr size_t kMaxSges = 1024;
constexpr size_t kMaxCompletions = 256;
// How often a poll looks at an empty queue: a few times, and up to so many when the program does nothing but poll it.
constexpr int kFewLooks = 4;
constexpr int kManyLooks = 32;

// One request as JavaScript writes it: of what follows the number of SGEs, those fields that its operation has. Its SGEs
// follow those of the request before it.
struct Request {
  uint64_t wr_id;
  uint32_t opcode;
  uint32_t flags;
  uint32_t sge_count;
  uint32_t imm_or_rkey;
  uint32_t rkey;
  int32_t ah;
  uint64_t remote_addr;
  uint64_t compare_add;
  uint64_t swap;
  uint32_t remote_qpn;
  uint32_t remote_qkey;
  int32_t mw;
  int32_t mr;
  uint32_t bind_access;
  uint32_t reserved;
  uint64_t bind_addr;
  uint64_t bind_length;
};
static_assert(sizeof(Request) == 96 && offsetof(Request, remote_addr) == 32 && offsetof(Request, bind_addr) == 80);

struct Layout {
  // Of a call: an errno, a count, or a negative errno; what it is about; how many requests or completions.
  int32_t result;
  int32_t handle;
  int32_t count;
  uint32_t reserved[13];
  Request requests[kMaxRequests];
  ibv_sge sges[kMaxSges];
  ibv_wc completions[kMaxCompletions];
};
// What JavaScript counts on.
static_assert(offsetof(Layout, handle) == 4 && offsetof(Layout, count) == 8 && offsetof(Layout, requests) == 64);
static_assert(sizeof(ibv_sge) == 16 && offsetof(ibv_sge, length) == 8 && offsetof(ibv_sge, lkey) == 12);
static_assert(sizeof(ibv_wc) == 48 && offsetof(ibv_wc, status) == 8 && offsetof(ibv_wc, opcode) == 12);
static_assert(offsetof(ibv_wc, vendor_err) == 16 && offsetof(ibv_wc, byte_len) == 20);
static_assert(offsetof(ibv_wc, imm_data) == 24 && offsetof(ibv_wc, qp_num) == 28);
static_assert(offsetof(ibv_wc, src_qp) == 32 && offsetof(ibv_wc, wc_flags) == 36);

bool FillDatagram(const Objects& objects, const Request& from, ibv_send_wr* to) {
  to->wr.ud.ah = objects.Get<ibv_ah>(from.ah, Kind::kAh);
  to->wr.ud.remote_qpn = from.remote_qpn;
  to->wr.ud.remote_qkey = from.remote_qkey;
  return to->wr.ud.ah != nullptr;
}

bool FillBinding(const Objects& objects, const Request& from, ibv_send_wr* to) {
  to->bind_mw.mw = objects.Get<ibv_mw>(from.mw, Kind::kMw);
  to->bind_mw.rkey = from.rkey;
  to->bind_mw.bind_info.mr = objects.Get<ibv_mr>(from.mr, Kind::kMr);
  to->bind_mw.bind_info.addr = from.bind_addr;
  to->bind_mw.bind_info.length = from.bind_length;
  to->bind_mw.bind_info.mw_access_flags = from.bind_access;
  return to->bind_mw.mw != nullptr && to->bind_mw.bind_info.mr != nullptr;
}

// What the operation of a request has of its own. False when a handle names nothing: the caller's object was closed.
bool FillOperands(const Objects& objects, const ibv_qp& qp, const Request& from, ibv_send_wr* to) {
  to->imm_data = 0;
  switch (from.opcode) {
    case IBV_WR_SEND_WITH_IMM:
      to->imm_data = htonl(from.imm_or_rkey);
      [[fallthrough]];
    case IBV_WR_SEND:
      return qp.qp_type != IBV_QPT_UD || FillDatagram(objects, from, to);
    case IBV_WR_SEND_WITH_INV:
    case IBV_WR_LOCAL_INV:
      to->invalidate_rkey = from.imm_or_rkey;
      return true;
    case IBV_WR_RDMA_WRITE_WITH_IMM:
      to->imm_data = htonl(from.imm_or_rkey);
      [[fallthrough]];
    case IBV_WR_RDMA_WRITE:
    case IBV_WR_RDMA_READ:
      to->wr.rdma.remote_addr = from.remote_addr;
      to->wr.rdma.rkey = from.rkey;
      return true;
    case IBV_WR_ATOMIC_CMP_AND_SWP:
    case IBV_WR_ATOMIC_FETCH_AND_ADD:
      to->wr.atomic.remote_addr = from.remote_addr;
      to->wr.atomic.compare_add = from.compare_add;
      to->wr.atomic.swap = from.swap;
      to->wr.atomic.rkey = from.rkey;
      return true;
    case IBV_WR_BIND_MW:
      return FillBinding(objects, from, to);
    default:
      return true;
  }
}

// What a fast call is about: an object of type T.
template <typename T>
struct FastCall {
  FastCall(napi_env env, Kind kind, int32_t max_count) {
    void* data = nullptr;
    if (napi_get_instance_data(env, &data) != napi_ok || data == nullptr) return;
    objects = static_cast<Objects*>(data);
    if (objects->shared.bytes == nullptr) return;
    layout = reinterpret_cast<Layout*>(objects->shared.bytes);
    layout->result = 0;
    count = layout->count;
    if (count >= 0 && count <= max_count) object = objects->Get<T>(layout->handle, kind);
  }

  Objects* objects = nullptr;
  Layout* layout = nullptr;
  int32_t count = 0;
  // nullptr when there is nothing to do.
  T* object = nullptr;
};

// postSend(): 0 or an errno.
napi_value PostSend(napi_env env, napi_callback_info) {
  const FastCall<ibv_qp> call(env, Kind::kQp, kMaxRequests);
  if (call.object == nullptr) return nullptr;
  call.objects->waiting.cq = 0;
  ibv_send_wr requests[kMaxRequests];
  ibv_sge* sges = call.layout->sges;
  int32_t filled = 0;
  for (; filled < call.count; filled++) {
    const Request& from = call.layout->requests[filled];
    ibv_send_wr* const to = &requests[filled];
    if (!FillOperands(*call.objects, *call.object, from, to)) break;
    to->wr_id = from.wr_id;
    to->next = to + 1;
    to->sg_list = sges;
    to->num_sge = static_cast<int>(from.sge_count);
    to->opcode = static_cast<ibv_wr_opcode>(from.opcode);
    to->send_flags = from.flags;
    sges += from.sge_count;
  }
  if (filled < call.count) call.layout->result = EINVAL;
  if (filled == 0) return nullptr;
  requests[filled - 1].next = nullptr;
  errno = 0;
  ibv_send_wr* bad = nullptr;
  const int error = ErrorOf(ibv_post_send(call.object, requests, &bad));
  if (error != 0) call.layout->result = error;
  // The library leaves it to the program to note the new key of a window, and reads it at the next bind.
  const ibv_send_wr* const end = error == 0 ? nullptr : bad == nullptr ? requests : bad;
  for (const ibv_send_wr* wr = requests; wr != end; wr = wr->next) {
    if (wr->opcode == IBV_WR_BIND_MW) wr->bind_mw.mw->rkey = wr->bind_mw.rkey;
  }
  return nullptr;
}

// Posts receives through `post`, the verb of a queue pair or of a shared receive queue.
template <typename T>
void PostReceives(const FastCall<T>& call, int (*post)(T*, ibv_recv_wr*, ibv_recv_wr**)) {
  if (call.object == nullptr || call.count == 0) return;
  ibv_recv_wr receives[kMaxRequests];
  ibv_sge* sges = call.layout->sges;
  for (int32_t i = 0; i < call.count; i++) {
    const Request& from = call.layout->requests[i];
    receives[i].wr_id = from.wr_id;
    receives[i].num_sge = static_cast<int>(from.sge_count);
    receives[i].sg_list = sges;
    sges += from.sge_count;
    receives[i].next = i + 1 < call.count ? &receives[i + 1] : nullptr;
  }
  ibv_recv_wr* bad = nullptr;
  errno = 0;
  call.layout->result = ErrorOf(post(call.object, receives, &bad));
}

// postRecv(), postSrqRecv(): 0 or an errno.
napi_value PostRecv(napi_env env, napi_callback_info) {
  PostReceives(FastCall<ibv_qp>(env, Kind::kQp, kMaxRequests), ibv_post_recv);
  return nullptr;
}

napi_value PostSrqRecv(napi_env env, napi_callback_info) {
  PostReceives(FastCall<ibv_srq>(env, Kind::kSrq, kMaxRequests), ibv_post_srq_recv);
  return nullptr;
}

// pollCq(): how many completions lie in the buffer, or a negative errno. An empty queue is looked at several times: that
// costs less than the way from JavaScript and back. A poll that follows empty ones of the same queue looks twice as often
// as the last: who waits sees a completion sooner when most of the time goes into looking.
napi_value PollCq(napi_env env, napi_callback_info) {
  const FastCall<ibv_cq> call(env, Kind::kCq, kMaxCompletions);
  if (call.object == nullptr) return nullptr;
  ibv_wc* const completions = call.layout->completions;
  errno = 0;
  Waiting& waiting = call.objects->waiting;
  if (waiting.cq != call.layout->handle) waiting = {call.layout->handle, kFewLooks};
  int count = 0;
  for (int looks = 0; looks < waiting.looks && count == 0; looks++) {
    count = ibv_poll_cq(call.object, call.count, completions);
  }
  if (count == 0) {
    waiting.looks = std::min(2 * waiting.looks, kManyLooks);
  } else {
    waiting.cq = 0;
  }
  for (int i = 0; i < count; i++) {
    if ((completions[i].wc_flags & IBV_WC_WITH_IMM) != 0) completions[i].imm_data = ntohl(completions[i].imm_data);
  }
  call.layout->result = count < 0 ? -ErrorOf(count) : count;
  return nullptr;
}

// reqNotify(): 0 or an errno. The count says whether it is for solicited completions only.
napi_value ReqNotify(napi_env env, napi_callback_info) {
  const FastCall<ibv_cq> call(env, Kind::kCq, 1);
  if (call.object == nullptr) return nullptr;
  errno = 0;
  call.layout->result = ErrorOf(ibv_req_notify_cq(call.object, call.count));
  return nullptr;
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
