// Whether a segmented send (UDP_SEGMENT) on the way to an address leaves this host with the IPv4 identifications that
// the ICRCs of its packets were computed with.
#pragma once

#include "icrc.h"

namespace queuepair {

// Asks the kernel; false where it cannot tell.
bool SegmentsKeepIdentification(const Address& source, const Address& destination);

}  // namespace queuepair
