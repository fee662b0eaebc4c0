#include "attributes.h"

#if QUEUEPAIR_HAS_VERBS

#include <arpa/inet.h>

#include <cstring>

namespace queuepair {

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

}  // namespace queuepair

#endif
