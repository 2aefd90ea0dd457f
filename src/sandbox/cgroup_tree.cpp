#include "sandbox/cgroup_tree.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <sstream>

#include "base/fd.h"
#include "base/file.h"
#include "sandbox/cgroup.h"

namespace agentrouter::sandbox {

using base::Fd;
using base::Result;

std::vector<Hierarchy> mounted_hierarchies() {
  std::vector<Hierarchy> found;
  std::istringstream lines(base::read_file("/proc/self/mountinfo").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    const auto dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream left(line.substr(0, dash)), right(line.substr(dash + 3));
    std::string skip, root, mounted, type, source, options;
    left >> skip >> skip >> skip >> root >> mounted;
    right >> type >> source >> options;
    if (type == "cgroup2") found.push_back({mounted, root, "", true});
    if (type == "cgroup") found.push_back({mounted, root, options, false});
  }
  return found;
}

bool has_word(const std::string& list, const std::string& word, char separator) {
  std::istringstream words(list);
  for (std::string each; std::getline(words, each, separator);) {
    if (each == word || each == word + "\n") return true;
  }
  return false;
}

Result<void> write_to(const std::string& path, const std::string& text) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return base::fail_errno("cannot open " + path, errno);
  if (::write(fd.get(), text.data(), text.size()) < 0) return base::fail_errno("cannot write " + path, errno);
  return {};
}

std::vector<pid_t> processes(const std::string& folder) {
  std::vector<pid_t> pids;
  std::istringstream words(base::read_file(folder + "/cgroup.procs").value_or(""));
  for (pid_t pid; words >> pid;) pids.push_back(pid);
  return pids;
}

namespace {

void walk(const std::filesystem::path& folder, const std::string& label, Match match, int depth,
          std::vector<std::string>& found) {
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(folder, error);
       !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (!entry->is_directory(error) || entry->is_symlink(error)) continue;
    const auto name = label_of_cgroup(entry->path().string());
    if (match == Match::whole ? name == label : name.rfind(label, 0) == 0) {
      found.push_back(entry->path().string());
    } else if (depth > 0) {
      walk(entry->path(), label, match, depth - 1, found);
    }
  }
}

}  // namespace

std::string label_of_cgroup(const std::string& folder) {
  auto name = folder.substr(folder.rfind('/') + 1);
  if (name.find(warm_word) == std::string::npos) return name;
  char given[256];
  const auto size = ::getxattr(folder.c_str(), cgroup_label_attribute, given, sizeof given);
  return size > 0 ? std::string(given, static_cast<std::size_t>(size)) : name;
}

std::vector<std::string> find_cgroups(const std::string& label, Match match) {
  std::vector<std::string> found;
  for (const auto& hierarchy : mounted_hierarchies()) {
    bool relevant = hierarchy.unified;
    for (const auto* name : controllers) relevant = relevant || has_word(hierarchy.options, name, ',');
    if (relevant) walk(hierarchy.mounted, label, match, 8, found);
  }
  return found;
}

void remove_empty_around(int attempts) {
  // One that holds others refuses.
  for (const auto& folder : find_cgroups(cgroup_around(attempts), Match::whole))
    (void)::rmdir(folder.c_str());
}

void remove_warm(int attempts) {
  for (const auto& folder : find_cgroups(cgroup_prefix(attempts) + (warm_word + 1), Match::prefix))
    (void)remove_cgroup(folder);
}

Result<unsigned> remove_cgroup(const std::string& folder) {
  const auto pids = processes(folder);
  constexpr int tries = 2000;
  for (int i = 0; i < tries; ++i) {
    if (::rmdir(folder.c_str()) == 0 || errno == ENOENT) return static_cast<unsigned>(pids.size());
    if (errno != EBUSY) return base::fail_errno("cannot remove " + folder, errno);
    if (!write_to(folder + "/cgroup.kill", "1")) {
      for (const auto pid : processes(folder)) ::kill(pid, SIGKILL);
    }
    ::poll(nullptr, 0, i < 50 ? 1 : 5);
  }
  return base::fail(base::Code::timeout, "cannot empty " + folder);
}

}  // namespace agentrouter::sandbox
