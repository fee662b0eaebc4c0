// librdmacm, opened at run time: the addon must load where the library does not exist.
#pragma once

#include "headers.h"

#if QUEUEPAIR_HAS_RDMACM

#include <string>

namespace queuepair {

struct CmLibrary {
  rdma_event_channel* (*create_event_channel)();
  void (*destroy_event_channel)(rdma_event_channel*);
  int (*get_cm_event)(rdma_event_channel*, rdma_cm_event**);
  int (*ack_cm_event)(rdma_cm_event*);
  int (*create_id)(rdma_event_channel*, rdma_cm_id**, void*, rdma_port_space);
  int (*destroy_id)(rdma_cm_id*);
  int (*set_option)(rdma_cm_id*, int, int, void*, size_t);
  int (*bind_addr)(rdma_cm_id*, sockaddr*);
  int (*listen)(rdma_cm_id*, int);
  int (*resolve_addr)(rdma_cm_id*, sockaddr*, sockaddr*, int);
  int (*resolve_route)(rdma_cm_id*, int);
  int (*init_qp_attr)(rdma_cm_id*, ibv_qp_attr*, int*);
  int (*connect)(rdma_cm_id*, rdma_conn_param*);
  int (*accept)(rdma_cm_id*, rdma_conn_param*);
  int (*establish)(rdma_cm_id*);
  int (*reject)(rdma_cm_id*, const void*, uint8_t);
  int (*disconnect)(rdma_cm_id*);
  int (*notify)(rdma_cm_id*, ibv_event_type);

  // The library once `Load` succeeded.
  static const CmLibrary* Get();

  // Opens the library, once for the process; later calls return the same. Empty on success, else why not.
  static std::string Load(const char* path);
};

}  // namespace queuepair

#endif
