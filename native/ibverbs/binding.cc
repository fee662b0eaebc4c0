// The part of the addon for devices of the operating system; src/native/verbs-addon.ts is its description. All of it is
// one object, `verbs`; without libibverbs's header it says only that.
#include "../binding.h"
#include "objects.h"

namespace queuepair {

void RegisterVerbs(napi_env env, napi_value exports) {
  napi_value verbs;
  napi_value available;
  if (napi_create_object(env, &verbs) != napi_ok) return;
  napi_get_boolean(env, QUEUEPAIR_HAS_VERBS != 0, &available);
  napi_set_named_property(env, verbs, "available", available);
  napi_set_named_property(env, exports, "verbs", verbs);
#if QUEUEPAIR_HAS_VERBS
  auto* objects = new Objects(env);
  const auto release = [](void* data) {
    auto* ending = static_cast<Objects*>(data);
    if (Library::Get() != nullptr) ending->DestroyAll();
    delete ending;
  };
  if (napi_add_env_cleanup_hook(env, release, objects) != napi_ok) {
    delete objects;
    return;
  }
  // Where the fast calls find it: that takes less than to ask for the data of a call.
  napi_set_instance_data(env, objects, nullptr, nullptr);
  RegisterDevices(env, verbs, objects);
  RegisterResources(env, verbs, objects);
  RegisterQueuePairs(env, verbs, objects);
  RegisterData(env, verbs, objects);
#endif
}

}  // namespace queuepair
