// What an id does: bind, listen, resolve, connect, accept and the rest. Each call is a system call, so it runs on a thread
// of the pool and resolves a promise, with 0 or a negative errno. A call with wrong arguments gets `undefined`.
#include "addresses.h"
#include "ids.h"

#if QUEUEPAIR_HAS_RDMACM

#include <cstring>

#include "../ibverbs/attributes.h"

namespace queuepair {
namespace {

// Bits above IBV_QP_DEST_QPN, which old kernels set for RoCE, mean nothing to libibverbs.
constexpr int kAttributeBits = 0x1fffff;

// Runs `call(library, id)` on the pool.
template <typename Call>
napi_value RunCall(napi_env env, Id* id, Call call) {
  return RunTask(
      env, {},
      [id, call] {
        const CmLibrary& library = *CmLibrary::Get();
        return CmErrorOf([&] { return call(library, id->id); });
      },
      [](napi_env finished) { return FromInt(finished, 0); });
}

// setOption(id, option, value): of the level RDMA_OPTION_ID.
napi_value SetOption(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  Id* const id = IdOf(arguments);
  int32_t option;
  int32_t value;
  if (id == nullptr || !arguments.Int(1, &option) || !arguments.Int(2, &value)) return nullptr;
  const bool is_byte = option == RDMA_OPTION_ID_TOS || option == RDMA_OPTION_ID_ACK_TIMEOUT;
  return RunCall(env, id, [=](const CmLibrary& library, rdma_cm_id* cm_id) {
    uint8_t byte = static_cast<uint8_t>(value);
    int number = value;
    return library.set_option(cm_id, RDMA_OPTION_ID, option, is_byte ? static_cast<void*>(&byte) : &number,
                              is_byte ? sizeof(byte) : sizeof(number));
  });
}

// bindAddr(id, address)
napi_value BindAddr(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  Id* const id = IdOf(arguments);
  const double* const numbers = Numbers(arguments, 1, kAddressNumbers);
  if (id == nullptr || numbers == nullptr) return nullptr;
  const sockaddr_storage address = ReadSocketAddress(numbers);
  return RunCall(env, id, [address](const CmLibrary& library, rdma_cm_id* cm_id) {
    sockaddr_storage given = address;
    return library.bind_addr(cm_id, reinterpret_cast<sockaddr*>(&given));
  });
}

// listen(id, backlog)
napi_value Listen(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  Id* const id = IdOf(arguments);
  int32_t backlog;
  if (id == nullptr || !arguments.Int(1, &backlog)) return nullptr;
  return RunCall(env, id,
                 [backlog](const CmLibrary& library, rdma_cm_id* cm_id) { return library.listen(cm_id, backlog); });
}

// resolveAddr(id, source, destination, timeoutMillis): the family of `source` may be 0.
napi_value ResolveAddr(napi_env env, napi_callback_info info) {
  const Arguments<4> arguments(env, info);
  Id* const id = IdOf(arguments);
  const double* const source = Numbers(arguments, 1, kAddressNumbers);
  const double* const destination = Numbers(arguments, 2, kAddressNumbers);
  int32_t timeout;
  if (id == nullptr || source == nullptr || destination == nullptr || !arguments.Int(3, &timeout)) return nullptr;
  const sockaddr_storage from = ReadSocketAddress(source);
  const sockaddr_storage to = ReadSocketAddress(destination);
  return RunCall(env, id, [from, to, timeout](const CmLibrary& library, rdma_cm_id* cm_id) {
    sockaddr_storage given_from = from;
    sockaddr_storage given_to = to;
    auto* const bound = from.ss_family == AF_UNSPEC ? nullptr : reinterpret_cast<sockaddr*>(&given_from);
    return library.resolve_addr(cm_id, bound, reinterpret_cast<sockaddr*>(&given_to), timeout);
  });
}

// resolveRoute(id, timeoutMillis)
napi_value ResolveRoute(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  Id* const id = IdOf(arguments);
  int32_t timeout;
  if (id == nullptr || !arguments.Int(1, &timeout)) return nullptr;
  return RunCall(env, id, [timeout](const CmLibrary& library, rdma_cm_id* cm_id) {
    return library.resolve_route(cm_id, timeout);
  });
}

// initQpAttr(id, state, places): what a queue pair needs to get to `state`. Resolves with the mask.
napi_value InitQpAttr(napi_env env, napi_callback_info info) {
  const Arguments<3> arguments(env, info);
  Id* const id = IdOf(arguments);
  int32_t state;
  double* const places = Numbers(arguments, 2, kPlaces);
  if (id == nullptr || places == nullptr || !arguments.Int(1, &state)) return nullptr;
  struct Answer {
    ibv_qp_attr attributes{};
    int mask = 0;
  };
  auto answer = std::make_shared<Answer>();
  answer->attributes.qp_state = static_cast<ibv_qp_state>(state);
  return RunTask(
      env, {arguments.values[2]},
      [id, answer] {
        return CmErrorOf(
            [&] { return CmLibrary::Get()->init_qp_attr(id->id, &answer->attributes, &answer->mask); });
      },
      [answer, places](napi_env finished) {
        WriteAttributes(answer->attributes, places);
        return FromInt(finished, answer->mask & kAttributeBits);
      });
}

// What connect and accept take: parameters as numbers, and private data.
struct Parameters {
  explicit Parameters(const Arguments<3>& arguments) {
    void* bytes;
    size_t length;
    numbers = Numbers(arguments, 1, 7);
    if (numbers == nullptr || !arguments.Array(2, napi_uint8_array, &bytes, &length) || length > UINT8_MAX) {
      numbers = nullptr;
      return;
    }
    private_data.assign(static_cast<uint8_t*>(bytes), static_cast<uint8_t*>(bytes) + length);
    param.private_data_len = static_cast<uint8_t>(length);
    param.responder_resources = static_cast<uint8_t>(numbers[0]);
    param.initiator_depth = static_cast<uint8_t>(numbers[1]);
    param.flow_control = static_cast<uint8_t>(numbers[2]);
    param.retry_count = static_cast<uint8_t>(numbers[3]);
    param.rnr_retry_count = static_cast<uint8_t>(numbers[4]);
    param.srq = static_cast<uint8_t>(numbers[5]);
    param.qp_num = static_cast<uint32_t>(numbers[6]);
  }

  const double* numbers;
  std::vector<uint8_t> private_data;
  rdma_conn_param param{};
};

using Meeting = int (*CmLibrary::*)(rdma_cm_id*, rdma_conn_param*);

napi_value Meet(napi_env env, const Arguments<3>& arguments, Meeting meeting) {
  Id* const id = IdOf(arguments);
  const Parameters parameters(arguments);
  if (id == nullptr || parameters.numbers == nullptr) return nullptr;
  return RunCall(env, id, [parameters, meeting](const CmLibrary& library, rdma_cm_id* cm_id) {
    rdma_conn_param given = parameters.param;
    given.private_data = parameters.private_data.data();
    return (library.*meeting)(cm_id, &given);
  });
}

// connect(id, parameters, privateData), accept(id, parameters, privateData)
napi_value Connect(napi_env env, napi_callback_info info) {
  return Meet(env, Arguments<3>(env, info), &CmLibrary::connect);
}

napi_value Accept(napi_env env, napi_callback_info info) {
  return Meet(env, Arguments<3>(env, info), &CmLibrary::accept);
}

// reject(id, privateData)
napi_value Reject(napi_env env, napi_callback_info info) {
  const Arguments<2> arguments(env, info);
  Id* const id = IdOf(arguments);
  void* bytes;
  size_t length;
  if (id == nullptr || !arguments.Array(1, napi_uint8_array, &bytes, &length) || length > UINT8_MAX) return nullptr;
  const std::vector<uint8_t> data(static_cast<uint8_t*>(bytes), static_cast<uint8_t*>(bytes) + length);
  return RunCall(env, id, [data](const CmLibrary& library, rdma_cm_id* cm_id) {
    return library.reject(cm_id, data.data(), static_cast<uint8_t>(data.size()));
  });
}

// establish(id)
napi_value Establish(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  Id* const id = IdOf(arguments);
  if (id == nullptr) return nullptr;
  return RunCall(env, id,
                 [](const CmLibrary& library, rdma_cm_id* cm_id) { return library.establish(cm_id); });
}

// disconnect(id)
napi_value Disconnect(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  Id* const id = IdOf(arguments);
  if (id == nullptr) return nullptr;
  return RunCall(env, id,
                 [](const CmLibrary& library, rdma_cm_id* cm_id) { return library.disconnect(cm_id); });
}

// notifyEstablished(id): the device has seen a packet of the peer on the id's queue pair.
napi_value NotifyEstablished(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  Id* const id = IdOf(arguments);
  if (id == nullptr) return nullptr;
  return RunCall(env, id, [](const CmLibrary& library, rdma_cm_id* cm_id) {
    return library.notify(cm_id, IBV_EVENT_COMM_EST);
  });
}

}  // namespace

void RegisterCmMeetings(napi_env env, napi_value exports, CmObjects* objects) {
  SetFunction(env, exports, "setOption", SetOption, objects);
  SetFunction(env, exports, "bindAddr", BindAddr, objects);
  SetFunction(env, exports, "listen", Listen, objects);
  SetFunction(env, exports, "resolveAddr", ResolveAddr, objects);
  SetFunction(env, exports, "resolveRoute", ResolveRoute, objects);
  SetFunction(env, exports, "initQpAttr", InitQpAttr, objects);
  SetFunction(env, exports, "connect", Connect, objects);
  SetFunction(env, exports, "accept", Accept, objects);
  SetFunction(env, exports, "reject", Reject, objects);
  SetFunction(env, exports, "establish", Establish, objects);
  SetFunction(env, exports, "disconnect", Disconnect, objects);
  SetFunction(env, exports, "notifyEstablished", NotifyEstablished, objects);
}

}  // namespace queuepair

#endif
