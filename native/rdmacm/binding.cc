// The part of the addon for librdmacm; src/native/rdmacm-addon.ts is its description. All of it is one object, `rdmacm`;
// without librdmacm's header it says only that.
#include "../binding.h"
#include "ids.h"

namespace queuepair {

#if QUEUEPAIR_HAS_RDMACM
namespace {

// load(path): null, or why the library cannot be used.
napi_value Load(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  if (!arguments.ok) return nullptr;
  const std::string problem = CmLibrary::Load(Text(arguments, 0).c_str());
  if (!problem.empty()) return FromText(env, problem);
  napi_value nothing;
  napi_get_null(env, &nothing);
  return nothing;
}

}  // namespace
#endif

void RegisterRdmacm(napi_env env, napi_value exports) {
  napi_value rdmacm;
  napi_value available;
  if (napi_create_object(env, &rdmacm) != napi_ok) return;
  napi_get_boolean(env, QUEUEPAIR_HAS_RDMACM != 0, &available);
  napi_set_named_property(env, rdmacm, "available", available);
  napi_set_named_property(env, exports, "rdmacm", rdmacm);
#if QUEUEPAIR_HAS_RDMACM
  auto* objects = new CmObjects();
  const auto release = [](void* data) { delete static_cast<CmObjects*>(data); };
  if (napi_add_env_cleanup_hook(env, release, objects) != napi_ok) {
    delete objects;
    return;
  }
  SetFunction(env, rdmacm, "load", Load, objects);
  RegisterCmEvents(env, rdmacm, objects);
  RegisterCmIds(env, rdmacm, objects);
  RegisterCmMeetings(env, rdmacm, objects);
#endif
}

}  // namespace queuepair
