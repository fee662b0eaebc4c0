// Ids: made, asked and destroyed.
#include "ids.h"

#if QUEUEPAIR_HAS_RDMACM

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

#include "addresses.h"

namespace queuepair {

CmObjects::~CmObjects() {
  if (CmLibrary::Get() == nullptr) return;
  ids.ForEach([](Id& id) {
    if (Destroy(&id) != 0) id.channel->is_held = true;
  });
  channels.ForEach([](Channel& channel) {
    if (!channel.is_held) CmLibrary::Get()->destroy_event_channel(channel.channel);
  });
}

int Destroy(Id* id) {
  const int error = CmErrorOf([id] { return CmLibrary::Get()->destroy_id(id->id); });
  if (error == 0) id->id = nullptr;
  return error;
}

int32_t CmObjects::Add(Channel* channel, rdma_cm_id* id) {
  auto added = std::make_unique<Id>(channel, id);
  Id* const named = added.get();
  id->context = named;
  named->handle = ids.Add(std::move(added));
  return named->handle;
}

std::vector<Id*> CmObjects::EndAll(const Channel* channel) {
  std::vector<Id*> ended;
  ids.ForEach([channel, &ended](Id& id) {
    if (id.channel != channel || id.is_ending) return;
    id.is_ending = true;
    ended.push_back(&id);
  });
  return ended;
}

void CmObjects::Forget(const std::vector<Id*>& ended) {
  for (Id* id : ended) {
    if (id->id == nullptr) {
      ids.Remove(id->handle);
    } else {
      id->is_ending = false;
    }
  }
}

Id* CmObjects::FindLive(int32_t handle) const {
  Id* const id = ids.Find(handle);
  return id == nullptr || id->is_ending ? nullptr : id;
}

namespace {

// createId(channel, portSpace): an id.
napi_value CreateId(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  CmObjects* const objects = CmObjectsOf(arguments);
  Channel* const channel = ChannelOf(arguments);
  int32_t port_space;
  if (channel == nullptr || !arguments.Int(1, &port_space)) return nullptr;
  auto made = std::make_shared<rdma_cm_id*>(nullptr);
  return RunTask(
      env, {},
      [channel, port_space, made] {
        return CmErrorOf([&] {
          return CmLibrary::Get()->create_id(channel->channel, made.get(), nullptr,
                                             static_cast<rdma_port_space>(port_space));
        });
      },
      [objects, channel, made](napi_env finished) { return FromInt(finished, objects->Add(channel, *made)); });
}

// destroyId(id): tells the peer where it does not know. No event of it is told from now on.
napi_value DestroyId(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  CmObjects* const objects = CmObjectsOf(arguments);
  Id* const id = IdOf(arguments);
  if (id == nullptr) return nullptr;
  id->is_ending = true;
  return RunTask(
      env, {}, [id] { return Destroy(id); },
      [objects, id](napi_env finished) {
        objects->Forget({id});
        return FromInt(finished, 0);
      },
      [objects, id](napi_env) { objects->Forget({id}); });
}

// deviceOf(id): the name of its device, empty while it has none.
napi_value DeviceOf(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  const Id* const id = IdOf(arguments);
  if (id == nullptr) return nullptr;
  return FromText(env, id->id->verbs == nullptr ? "" : id->id->verbs->device->name);
}

// addressesOf(id, out): the local one and the peer's.
napi_value AddressesOf(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  const Id* const id = IdOf(arguments);
  double* const out = Numbers(arguments, 1, 2 * kAddressNumbers);
  if (id == nullptr || out == nullptr) return nullptr;
  WriteSocketAddress(id->id->route.addr.src_storage, out);
  WriteSocketAddress(id->id->route.addr.dst_storage, out + kAddressNumbers);
  return FromInt(env, 0);
}

}  // namespace

void RegisterCmIds(napi_env env, napi_value exports, CmObjects* objects) {
  SetFunction(env, exports, "createId", CreateId, objects);
  SetFunction(env, exports, "destroyId", DestroyId, objects);
  SetFunction(env, exports, "deviceOf", DeviceOf, objects);
  SetFunction(env, exports, "addressesOf", AddressesOf, objects);
}

}  // namespace queuepair

#endif
