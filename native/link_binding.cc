// Tells JavaScript that something about the network interfaces or their addresses has changed. What it was is for the
// caller to look up: messages may be many, and some are lost when they come faster than they are read.
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "binding.h"
#include "fd_watcher.h"
#include "handle_table.h"

namespace queuepair {
namespace {

// Owns the descriptor; the watcher is owned by the event loop.
struct Watch {
  Watch(int fd_, FdWatcher* watcher_) : fd(fd_), watcher(watcher_) {}
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() { close(fd); }

  const int fd;
  FdWatcher* const watcher;
};

// The watches of one environment. Those that are left at its end are stopped by the watchers themselves, before this goes.
using Watches = HandleTable<Watch>;

// Of the network namespace that the calling thread is in. A negative errno if there is none.
int OpenSocket() {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return -errno;
  sockaddr_nl name{};
  name.nl_family = AF_NETLINK;
  name.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
  if (bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0) return fd;
  const int error = errno;
  close(fd);
  return -error;
}

// Takes what is there; a burst of messages is one report. Messages that did not fit (ENOBUFS) are news as well.
void Drain(int fd, const FdWatcher::Report& report) {
  char message[8192];
  bool is_news = false;
  for (;;) {
    const ssize_t length = recv(fd, message, sizeof(message), MSG_DONTWAIT);
    if (length < 0 && errno != ENOBUFS && errno != EINTR) break;
    is_news = true;
  }
  if (is_news) report(0, 0);
}

napi_value WatchLinks(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  napi_valuetype type;
  if (!arguments.ok || napi_typeof(env, arguments.values[0], &type) != napi_ok || type != napi_function) return nullptr;
  const int fd = OpenSocket();
  if (fd < 0) return FromInt(env, fd);
  const auto drain = [fd](const FdWatcher::Report& report) { Drain(fd, report); };
  FdWatcher* watcher = FdWatcher::Start(env, fd, arguments.values[0], drain);
  if (watcher == nullptr) {
    close(fd);
    return FromInt(env, -ENOMEM);
  }
  auto* watches = static_cast<Watches*>(arguments.data);
  return FromInt(env, watches->Add(std::make_unique<Watch>(fd, watcher)));
}

napi_value UnwatchLinks(napi_env env, napi_callback_info info) {
  const Arguments<1> arguments(env, info);
  int32_t handle;
  if (!arguments.ok || !arguments.Int(0, &handle)) return nullptr;
  auto* watches = static_cast<Watches*>(arguments.data);
  const Watch* watch = watches->Find(handle);
  if (watch == nullptr) return nullptr;
  watch->watcher->Stop();
  watches->Remove(handle);
  return nullptr;
}

}  // namespace

void RegisterLinks(napi_env env, napi_value exports) {
  auto* watches = new Watches;
  const auto release = [](void* data) { delete static_cast<Watches*>(data); };
  if (napi_add_env_cleanup_hook(env, release, watches) != napi_ok) {
    delete watches;
    return;
  }
  SetFunction(env, exports, "watchLinks", WatchLinks, watches);
  SetFunction(env, exports, "unwatchLinks", UnwatchLinks, watches);
}

}  // namespace queuepair
