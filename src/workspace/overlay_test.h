#pragma once
// For this room's tests: a base repository, a real overlay on it in a mount namespace of its own, an "agent"
// that changes it, and git itself as the judge.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>

#include "base/fd.h"
#include "base/json.h"
#include "workspace/collector.h"

namespace agentrouter::workspace {

namespace fs = std::filesystem;

inline void write_text(const fs::path& path, std::string_view text) {
  if (path.has_parent_path()) fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

inline std::string read_text(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

inline void append_text(const fs::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary | std::ios::app) << text;
}

class OverlayTest : public testing::Test {
 protected:
  OverlayTest() {
    char name[] = "/tmp/agentrouter-ws-XXXXXX";
    root = ::mkdtemp(name);
    for (const auto* folder : {"base", "upper", "work", "merged"}) fs::create_directories(root / folder);
  }
  ~OverlayTest() override {
    (void)shell("chmod -R u+rwx " + root.string() + " 2>/dev/null");
    fs::remove_all(root);
  }

  static int shell(const std::string& command) {
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
  }
  static std::string git() {
    return "GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null git -c safe.directory='*' -c user.name=t "
           "-c user.email=t@t -c core.hooksPath=/dev/null -c core.autocrlf=false -c core.fsync=none ";
  }
  fs::path base() const { return root / "base"; }

  // Makes the base a repository with everything that stands in it and is not ignored (or all, with "-f").
  void commit_base(const std::string& add_option = "") {
    ASSERT_EQ(0, shell("cd " + base().string() + " && " + git() + "init -q . && " + git() + "add -A " +
                       add_option + " && " + git() + "commit -q --allow-empty -m base"));
  }

  // Runs `agent` with the merged tree as working directory, then lets git say what changed against the
  // base's index: `status` and the resulting tree. A child does it, in namespaces of its own.
  void run_agent(const std::function<void()>& agent) {
    const bool privileged = ::geteuid() == 0;
    const auto uid = ::geteuid(), gid = ::getegid();
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      if (::unshare(CLONE_NEWNS | (privileged ? 0 : CLONE_NEWUSER)) != 0) ::_exit(77);
      if (!privileged) {
        write_text("/proc/self/setgroups", "deny");
        write_text("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1");
        write_text("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
      }
      (void)::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
      std::string lower;
      for (const auto& layer : kept_) lower += layer.string() + ":";
      const auto options = "userxattr,index=off,metacopy=off,lowerdir=" + lower + base().string() +
                           ",upperdir=" + (root / "upper").string() + ",workdir=" + (root / "work").string();
      if (::mount("overlay", (root / "merged").c_str(), "overlay", 0, options.c_str()) != 0) ::_exit(78);
      if (::chdir((root / "merged").c_str()) != 0) ::_exit(79);
      try {
        agent();
      } catch (const std::exception& error) {
        std::cerr << error.what() << "\n";
        ::_exit(80);
      }
      ::_exit(judge());
    }
    int status = 0;
    ASSERT_EQ(child, ::waitpid(child, &status, 0));
    ASSERT_TRUE(WIFEXITED(status));
    ASSERT_EQ(0, WEXITSTATUS(status)) << "77: no namespaces; 78: no overlay; 80: the agent; else: git";
  }

  // What the agent has written becomes a layer below what it writes next.
  void keep_layer() {
    const auto layer = root / ("kept" + std::to_string(kept_.size()));
    fs::rename(root / "upper", layer);
    kept_.insert(kept_.begin(), layer);
    (void)shell("chmod -R u+rwx " + (root / "work").string());
    fs::remove_all(root / "work");
    for (const auto* folder : {"upper", "work"}) fs::create_directories(root / folder);
  }

  // All layers above the base.
  Stack stack() const {
    std::vector<base::Fd> fds;
    fds.emplace_back(::open((root / "upper").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    for (const auto& layer : kept_) fds.emplace_back(::open(layer.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    std::vector<int> layers;
    for (const auto& fd : fds) layers.push_back(fd.get());
    return Stack::of(layers);
  }

  // The same as init hands it to a subcommand: a folder with the one layer of a first turn. Moves it there.
  base::Fd numbered_stack() {
    fs::create_directories(root / "stack");
    fs::rename(root / "upper", root / "stack/0");
    return base::Fd(::open((root / "stack").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }

  CollectReport collect_changes(const CollectLimits& limits = {}) {
    const base::Fd lower(::open(base().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const base::Fd index(
        ::open((root / "index.json").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    const base::Fd patch(::open(patch_path().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    auto report = collect({lower.get(), stack(), index.get(), patch.get()}, limits);
    EXPECT_TRUE(report.has_value());
    return *report;
  }

  fs::path patch_path() const { return root / "changes.patch"; }
  std::string patch() const { return read_text(patch_path()); }

  json::object index_document() const {
    return base::parse_json(read_text(root / "index.json")).value().as_object();
  }

  // "XY path\n" for each entry, as the collector says.
  std::string index() const {
    std::string lines;
    const auto document = index_document();
    for (const auto& entry : document.at("files").as_array()) {
      lines += std::string(entry.at("status").as_string()) + " " + std::string(entry.at("path").as_string()) +
               "\n";
    }
    return lines;
  }

  // The tree that a second clone has after `git apply --index` of the patch.
  std::string tree_of_patched_clone() {
    const auto clone = (root / "clone").string();
    fs::remove_all(clone);
    if (shell(git() + "clone -q " + base().string() + " " + clone) != 0) return "clone failed";
    if (fs::file_size(patch_path()) != 0 &&
        shell("cd " + clone + " && " + git() + "apply --index --whitespace=nowarn " +
              patch_path().string()) != 0) {
      return "apply failed:\n" + patch().substr(0, 4000);
    }
    if (shell("cd " + clone + " && " + git() + "write-tree > " + (root / "clone-tree").string()) != 0)
      return "no tree";
    return read_text(root / "clone-tree");
  }
  std::string agents_tree() const { return read_text(root / "agents-tree"); }
  // `git status` of the agent's tree, as index() writes it; only for paths without special bytes.
  std::string agents_status() const {
    std::string lines = read_text(root / "agents-status");
    std::replace(lines.begin(), lines.end(), '\0', '\n');
    return lines;
  }

  // Everything must hold: git takes the patch, and it gives the agent's tree.
  void expect_faithful() {
    const auto report = collect_changes();
    EXPECT_FALSE(report.index.truncated);
    EXPECT_FALSE(report.patch.truncated);
    EXPECT_EQ(agents_tree(), tree_of_patched_clone());
  }

  fs::path root;
  std::vector<fs::path> kept_;  // layers of earlier turns, the newest first

 private:
  int judge() {
    const auto in_base = "GIT_INDEX_FILE=" + (root / "judge-index").string() + " " + git() +
                         "--git-dir=" + (base() / ".git").string() +
                         " --work-tree=" + (root / "merged").string() + " ";
    if (!fs::exists(base() / ".git")) return 0;
    // With its time: git trusts files that are older than its index.
    return shell("cp -p " + (base() / ".git/index").string() + " " + (root / "judge-index").string() +
                 " && " + in_base + "status --porcelain=v1 -z -uall --no-renames > " +
                 (root / "agents-status").string() + " && " + in_base + "add -A 2>/dev/null && " + in_base +
                 "write-tree > " + (root / "agents-tree").string());
  }
};

}  // namespace agentrouter::workspace
