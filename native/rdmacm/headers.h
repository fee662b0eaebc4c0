// Whether this build knows librdmacm: its header is looked for when the addon is compiled, the library itself when a
// program asks for a connection manager.
#pragma once

#include "../ibverbs/headers.h"

#if QUEUEPAIR_HAS_VERBS && __has_include(<rdma/rdma_cma.h>)
#include <rdma/rdma_cma.h>
#define QUEUEPAIR_HAS_RDMACM 1
#else
#define QUEUEPAIR_HAS_RDMACM 0
#endif
