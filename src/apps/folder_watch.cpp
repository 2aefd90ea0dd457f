#include "apps/folder_watch.h"

#include <sys/inotify.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <cerrno>

#include "base/event.h"
#include "base/fd.h"

namespace agentrouter::apps {
namespace {

// An editor writes a file in several steps.
constexpr std::chrono::milliseconds settle_time{50};

}  // namespace

base::Result<void> FolderWatch::open(const std::filesystem::path& folder) {
  base::Fd fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd) return base::fail_errno("cannot watch " + folder.string(), errno);
  constexpr std::uint32_t changes =
      IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB;
  if (::inotify_add_watch(fd.get(), folder.c_str(), changes | IN_ONLYDIR) < 0)
    return base::fail_errno("cannot watch " + folder.string(), errno);
  events_.assign(fd.release());
  return base::Result<void>();
}

base::Task<void> FolderWatch::run(std::function<void()> changed) {
  alignas(inotify_event) char bytes[4096];
  for (;;) {
    boost::system::error_code error;
    co_await events_.async_read_some(asio::buffer(bytes), asio::redirect_error(base::use_task, error));
    if (error) co_return;
    co_await base::sleep_for(settle_time);
    changed();
  }
}

}  // namespace agentrouter::apps
