#pragma once
// Hears when the entries of a folder change, from the kernel.

#include <boost/asio/posix/stream_descriptor.hpp>
#include <filesystem>
#include <functional>

#include "base/asio.h"
#include "base/error.h"

namespace agentrouter::apps {

class FolderWatch {
 public:
  explicit FolderWatch(base::Executor executor) : events_(executor) {}

  // Errors: not_found, denied, exhausted (the machine has no more watches). Call once.
  [[nodiscard]] base::Result<void> open(const std::filesystem::path& folder);
  // Calls `changed` soon after each change, until the task is cancelled. Several changes at once are one.
  base::Task<void> run(std::function<void()> changed);

 private:
  asio::posix::basic_stream_descriptor<base::Executor> events_;
};

}  // namespace agentrouter::apps
