#pragma once
// Searches files and folders for secrets, within limits. Internal to the check of the boundary.

#include <sys/stat.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "keeper/boundary_view.h"

namespace agentrouter::keeper {

// The whole of a small file, of at most `most` bytes; empty when it cannot be read.
[[nodiscard]] std::string text_of(const std::string& path, std::size_t most = 1u << 20);

class FileSearch {
 public:
  // The references outlive it.
  FileSearch(const base::Redactor& secrets, const LookLimits& limits, BoundaryReport& report);

  // Everything below `path`, which is named `shown` in what is returned; `skip`: paths as shown. The first
  // file that holds a secret in its bytes, its name or the target of a link, or that is a socket which
  // somebody listens on (`socket` is then set). Nothing: there is none, or complete() is false.
  [[nodiscard]] std::optional<std::string> search(const std::string& path, const std::string& shown,
                                                  const std::set<std::string>& skip = {});
  [[nodiscard]] bool complete() const { return complete_ && !cut_; }
  [[nodiscard]] bool found_socket() const { return socket_; }
  // Without the questions about sockets.
  void ignore_sockets() { asks_sockets_ = false; }

 private:
  struct Place {
    std::string path;
    std::string shown;
    int depth = 0;
  };
  bool enter(const Place& place, const std::set<std::string>& skip);
  bool look_at(int folder, const char* name, const Place& place);
  bool file_holds(int folder, const char* name, std::uint64_t size);
  [[nodiscard]] bool may_go_on();

  const base::Redactor& secrets_;
  const LookLimits& limits_;
  BoundaryReport& report_;
  std::chrono::steady_clock::time_point end_;
  std::chrono::nanoseconds cpu_end_;
  std::uint64_t entries_ = 0;
  std::uint64_t bytes_ = 0;
  std::string buffer_;
  std::vector<Place> waiting_;
  std::string found_;
  bool complete_ = true;
  bool cut_ = false;  // a file was longer than what is read of one
  bool asks_sockets_ = true;
  bool socket_ = false;
};

}  // namespace agentrouter::keeper
