// Whether this build knows libibverbs: its header is looked for when the addon is compiled, the library itself when a
// program asks for a device.
#pragma once

#if defined(__linux__) && __has_include(<infiniband/verbs.h>)
#include <infiniband/verbs.h>
#define QUEUEPAIR_HAS_VERBS 1
#else
#define QUEUEPAIR_HAS_VERBS 0
#endif
