// Event channels: what the kernel's communication manager tells, copied and acknowledged at once, in the order in which
// it came.
#include "ids.h"

#if QUEUEPAIR_HAS_RDMACM

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "../ibverbs/attributes.h"

namespace queuepair {
namespace {

// What takeEvent writes.
enum Field : size_t {
  kType,
  kStatus,
  kId,
  kListener,
  kResponderResources,
  kInitiatorDepth,
  kFlowControl,
  kRetryCount,
  kRnrRetryCount,
  kSrq,
  kQpn,
  kQkey,
  // Of a datagram service, as the places of queue pair attributes.
  kAddress,
  kFields = kAddress + kPlaces,
};

int32_t HandleOf(const rdma_cm_id* id) {
  return id == nullptr || id->context == nullptr ? 0 : static_cast<Id*>(id->context)->handle;
}

// A request brings an id of its own, which has the context of the listener until it gets a handle.
void AddRequest(CmObjects* objects, Channel* channel, const rdma_cm_event& from, CmEvent* to) {
  to->listener = HandleOf(from.listen_id);
  to->id = objects->Add(channel, from.id);
}

CmEvent Copy(CmObjects* objects, Channel* channel, const rdma_cm_event& from) {
  CmEvent to{};
  to.type = static_cast<int32_t>(from.event);
  to.status = from.status;
  if (from.event == RDMA_CM_EVENT_CONNECT_REQUEST) {
    AddRequest(objects, channel, from, &to);
  } else {
    to.id = HandleOf(from.id);
  }
  to.is_datagram = from.id != nullptr && from.id->qp_type == IBV_QPT_UD;
  const void* data;
  if (to.is_datagram) {
    to.datagram = from.param.ud;
    data = from.param.ud.private_data;
    to.private_data_length = from.param.ud.private_data_len;
  } else {
    to.connection = from.param.conn;
    data = from.param.conn.private_data;
    to.private_data_length = from.param.conn.private_data_len;
  }
  if (data == nullptr) to.private_data_length = 0;
  if (to.private_data_length > 0) memcpy(to.private_data, data, to.private_data_length);
  return to;
}

void DrainEvents(CmObjects* objects, Channel* channel, const FdWatcher::Report& report) {
  rdma_cm_event* event = nullptr;
  while (CmLibrary::Get()->get_cm_event(channel->channel, &event) == 0) {
    channel->events.push_back(Copy(objects, channel, *event));
    CmLibrary::Get()->ack_cm_event(event);
    report(channel->events.back().type, channel->events.back().id);
  }
}

// openChannel(onEvent(type, id)): a channel.
napi_value OpenChannel(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  CmObjects* const objects = CmObjectsOf(arguments);
  napi_valuetype type;
  napi_ref callback;
  if (objects == nullptr || napi_typeof(env, arguments.values[0], &type) != napi_ok || type != napi_function ||
      napi_create_reference(env, arguments.values[0], 1, &callback) != napi_ok) {
    return nullptr;
  }
  auto opened = std::make_shared<rdma_event_channel*>(nullptr);
  return RunTask(
      env, {},
      [opened] {
        errno = 0;
        *opened = CmLibrary::Get()->create_event_channel();
        return *opened != nullptr ? 0 : LastError();
      },
      [objects, opened, callback](napi_env finished) {
        const int32_t handle = objects->channels.Add(std::make_unique<Channel>(*opened));
        Channel* const channel = objects->channels.Find(handle);
        napi_value function;
        if (napi_get_reference_value(finished, callback, &function) == napi_ok) {
          channel->watcher = FdWatcher::Start(
              finished, channel->channel->fd, function,
              [objects, channel](const FdWatcher::Report& report) { DrainEvents(objects, channel, report); });
        }
        napi_delete_reference(finished, callback);
        if (channel->watcher != nullptr) return FromInt(finished, handle);
        // A channel whose events nobody hears is none.
        CmLibrary::Get()->destroy_event_channel(channel->channel);
        objects->channels.Remove(handle);
        return FromInt(finished, -ENOMEM);
      },
      [callback](napi_env failed) { napi_delete_reference(failed, callback); });
}

void WriteFields(const CmEvent& event, double* fields) {
  fields[kType] = event.type;
  fields[kStatus] = event.status;
  fields[kId] = event.id;
  fields[kListener] = event.listener;
  std::fill(fields + kResponderResources, fields + kFields, 0.0);
  if (event.is_datagram) {
    fields[kQpn] = event.datagram.qp_num;
    fields[kQkey] = event.datagram.qkey;
    WriteAddress(event.datagram.ah_attr, fields + kAddress);
    return;
  }
  fields[kResponderResources] = event.connection.responder_resources;
  fields[kInitiatorDepth] = event.connection.initiator_depth;
  fields[kFlowControl] = event.connection.flow_control;
  fields[kRetryCount] = event.connection.retry_count;
  fields[kRnrRetryCount] = event.connection.rnr_retry_count;
  fields[kSrq] = event.connection.srq;
  fields[kQpn] = event.connection.qp_num;
}

// takeEvent(channel, fields, privateData): the oldest event that was not taken. Returns the length of its private data.
napi_value TakeEvent(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  Channel* const channel = ChannelOf(arguments);
  double* const fields = Numbers(arguments, 1, kFields);
  void* data;
  size_t length;
  if (channel == nullptr || channel->events.empty() || fields == nullptr ||
      !arguments.Array(2, napi_uint8_array, &data, &length) || length < kPrivateDataBytes) {
    return nullptr;
  }
  const CmEvent& event = channel->events.front();
  WriteFields(event, fields);
  memcpy(data, event.private_data, event.private_data_length);
  const auto result = FromInt(env, static_cast<int32_t>(event.private_data_length));
  channel->events.pop_front();
  return result;
}

// closeChannel(channel): events stop at once. Destroys the ids that are left: those that the program has not heard of, and
// those that the kernel did not let go before. Where it still keeps one, the channel stays until the environment ends.
napi_value CloseChannel(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  CmObjects* const objects = CmObjectsOf(arguments);
  Channel* const channel = ChannelOf(arguments);
  int32_t handle;
  if (channel == nullptr || !arguments.Int(0, &handle)) return nullptr;
  if (channel->watcher != nullptr) channel->watcher->Stop();
  channel->watcher = nullptr;
  const std::vector<Id*> left = objects->EndAll(channel);
  return RunTask(
      env, {},
      [channel, left] {
        int error = 0;
        for (Id* id : left) {
          const int failed = Destroy(id);
          if (failed != 0) error = failed;
        }
        if (error == 0) CmLibrary::Get()->destroy_event_channel(channel->channel);
        return error;
      },
      [objects, handle, left](napi_env finished) {
        objects->Forget(left);
        objects->channels.Remove(handle);
        return FromInt(finished, 0);
      },
      [objects, left](napi_env) { objects->Forget(left); });
}

}  // namespace

void RegisterCmEvents(napi_env env, napi_value exports, CmObjects* objects) {
  SetFunction(env, exports, "openChannel", OpenChannel, objects);
  SetFunction(env, exports, "takeEvent", TakeEvent, objects);
  SetFunction(env, exports, "closeChannel", CloseChannel, objects);
}

}  // namespace queuepair

#endif
