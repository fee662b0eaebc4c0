// Queue pair attributes as an array of numbers, which is how they travel between C++ and JavaScript. The places are those
// of src/ibverbs/attribute-array.ts.
#pragma once

#include "headers.h"

#if QUEUEPAIR_HAS_VERBS

#include <cstddef>

namespace queuepair {

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

ibv_ah_attr ReadAddress(const double* places);
ibv_qp_attr ReadAttributes(const double* places);
void WriteAddress(const ibv_ah_attr& address, double* places);
void WriteCapacity(const ibv_qp_cap& cap, double* places);
void WriteAttributes(const ibv_qp_attr& a, double* places);

}  // namespace queuepair

#endif
