// Event channels and ids (rdma_cm_id) of one environment, named by handles. JavaScript keeps the order (one call an id at
// a time, none once it is being destroyed); here it is only enforced that a handle names something that is there.
//
// Both tables belong to the thread of the event loop, and so does reading events. `rdma_destroy_id` waits, on a thread of
// the pool, until the events of the id are acknowledged: each is, by the call that reads it. An id that the kernel does not
// let go is destroyed again with its channel, and the channel is there as long as an id of it is.
#pragma once

#include "headers.h"

#if QUEUEPAIR_HAS_RDMACM

#include <deque>
#include <functional>
#include <initializer_list>
#include <memory>
#include <vector>

#include "../binding.h"
#include "../fd_watcher.h"
#include "../handle_table.h"
#include "../ibverbs/objects.h"
#include "../ibverbs/task.h"
#include "library.h"

namespace queuepair {

// As many bytes of private data as an event can have.
constexpr size_t kPrivateDataBytes = 256;

// A copy of an event: what it is about as handles, and its fields.
struct CmEvent {
  int32_t type;
  int32_t status;
  int32_t id;
  // Of a CONNECT_REQUEST; else 0.
  int32_t listener;
  bool is_datagram;
  rdma_conn_param connection;
  rdma_ud_param datagram;
  uint8_t private_data[kPrivateDataBytes];
  size_t private_data_length;
};

struct Channel {
  explicit Channel(rdma_event_channel* channel_) : channel(channel_) {}

  rdma_event_channel* channel;
  FdWatcher* watcher = nullptr;
  // Read, and not yet taken by JavaScript.
  std::deque<CmEvent> events;
  // The kernel did not let an id of it go, which still needs it.
  bool is_held = false;
};

struct Id {
  Id(Channel* channel_, rdma_cm_id* id_) : channel(channel_), id(id_) {}

  Channel* channel;
  rdma_cm_id* id;
  int32_t handle = 0;
  bool is_ending = false;
};

class CmObjects {
 public:
  // Destroys what is left, when the environment ends.
  ~CmObjects();

  // From now on events of `id` name the handle that is returned.
  int32_t Add(Channel* channel, rdma_cm_id* id);
  // Those of the channel that nobody destroys yet; from now on they have no handle that works.
  std::vector<Id*> EndAll(const Channel* channel);
  // For ids of `EndAll`: those that the kernel did not let go (their `id` is not nullptr) can be destroyed again.
  void Forget(const std::vector<Id*>& ended);
  // nullptr for an id that is being destroyed.
  Id* FindLive(int32_t handle) const;

  HandleTable<Channel> channels;
  HandleTable<Id> ids;
};

template <size_t N>
CmObjects* CmObjectsOf(const Arguments<N>& arguments) {
  return arguments.ok && CmLibrary::Get() != nullptr ? static_cast<CmObjects*>(arguments.data) : nullptr;
}

template <size_t N>
Channel* ChannelOf(const Arguments<N>& arguments) {
  int32_t handle;
  const CmObjects* const objects = CmObjectsOf(arguments);
  return objects != nullptr && arguments.Int(0, &handle) ? objects->channels.Find(handle) : nullptr;
}

// The id that the first argument names.
template <size_t N>
Id* IdOf(const Arguments<N>& arguments) {
  int32_t handle;
  const CmObjects* const objects = CmObjectsOf(arguments);
  return objects != nullptr && arguments.Int(0, &handle) ? objects->FindLive(handle) : nullptr;
}

// What a function of librdmacm returned, as an errno.
template <typename Call>
int CmErrorOf(Call call) {
  errno = 0;
  return ErrorOf(call());
}

// On any thread. An errno; after 0 `id.id` is nullptr.
int Destroy(Id* id);

void RegisterCmEvents(napi_env env, napi_value exports, CmObjects* objects);
void RegisterCmIds(napi_env env, napi_value exports, CmObjects* objects);
void RegisterCmMeetings(napi_env env, napi_value exports, CmObjects* objects);

}  // namespace queuepair

#endif
