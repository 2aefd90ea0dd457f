#include "worker/gone_trees.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/file.h"
#include "base/log.h"
#include "sandbox/remove_tree.h"

namespace agentrouter::worker {

namespace {

// Between two of them a server that stops is heard.
constexpr sandbox::RemoveBounds removed_at_a_time{.time = std::chrono::milliseconds(50)};
constexpr int same_names_at_most = 1000;

}  // namespace

base::Result<std::unique_ptr<GoneTrees>> GoneTrees::open(const std::filesystem::path& data_dir) {
  if (auto made = base::make_directories(data_dir / "gone"); !made) return tl::unexpected(made.error());
  AGENTROUTER_TRY(base::Fd folder, base::open_directory(data_dir / "gone"));
  return std::make_unique<GoneTrees>(Opened{}, std::move(folder));
}

base::Result<void> GoneTrees::put(int at, const std::string& name, const std::string& as) {
  for (int i = 0;; ++i) {
    const auto place = i == 0 ? as : as + "." + std::to_string(i);
    if (::renameat2(at, name.c_str(), folder_.get(), place.c_str(), RENAME_NOREPLACE) == 0) return {};
    if (errno == ENOENT) return {};
    if (errno != EEXIST || i == same_names_at_most)
      return base::fail_errno("cannot put " + name + " away", errno);
  }
}

std::vector<std::string> GoneTrees::names() const {
  std::vector<std::string> all;
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc/self/fd/" + std::to_string(folder_.get()), error),
       end;
       !error && entry != end; entry.increment(error))
    all.push_back(entry->path().filename().string());
  return all;
}

bool GoneTrees::remove(const std::string& name) {
  while (!stopping_) {
    const auto removed = sandbox::remove_tree(folder_.get(), name, removed_at_a_time);
    if (removed) return true;
    if (removed.error().code == base::Code::exhausted) continue;
    base::log(base::LogLevel::warn, "what an attempt has left could not be removed",
              {{"folder", "gone/" + name}, {"cause", removed.error().message}});
    return false;
  }
  return false;
}

void GoneTrees::clear() {
  for (bool some = true; some && !stopping_;) {
    some = false;
    for (const auto& name : names()) some = remove(name) || some;
  }
}

}  // namespace agentrouter::worker
