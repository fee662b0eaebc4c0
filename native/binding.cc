// The entry of the addon.
#include "binding.h"

NAPI_MODULE_INIT() {
  queuepair::RegisterCrc(env, exports);
  queuepair::RegisterUdp(env, exports);
  queuepair::RegisterLinks(env, exports);
  queuepair::RegisterVerbs(env, exports);
  queuepair::RegisterRdmacm(env, exports);
  return exports;
}
