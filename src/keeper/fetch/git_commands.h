#pragma once
// What git is told to do in the sandbox that fetches a repository, and what its answers mean. Pure.
//
// Nothing of the repository runs there: no system or user configuration but ours, no hooks, templates, file
// system monitor, credential helpers; filters of attributes have no commands, so LFS pointers stay pointers.
// Only the one transport that leads to the repository is allowed. Submodules are listed here and fetched each
// in a sandbox of its own.

#include <string>
#include <string_view>
#include <vector>

#include "keeper/fetch/fetch_plan.h"

namespace agentrouter::keeper {

inline constexpr const char* git_config_path = "/etc/agentrouter-git";
inline constexpr const char* git_ssh_path = "/etc/agentrouter-git-ssh";
inline constexpr const char* git_tree_path = "/home/agent/tree";

// The one configuration file, which also leads the public address to where the sandbox finds the repository:
// its own listener, or its workspace folder.
[[nodiscard]] std::string git_config(const model::GitSource& source);
[[nodiscard]] std::vector<std::string> git_environment();
// What git starts in the place of ssh: it joins git to the sandbox's listener.
[[nodiscard]] std::string git_ssh_script();

using Argv = std::vector<std::string>;
[[nodiscard]] Argv list_refs(const model::GitSource& source);
// The commit that the ref names: a branch before a tag; HEAD when there is none. None when the remote has no
// such ref. `listed` is list_refs' output and hostile.
[[nodiscard]] std::optional<ResolvedRef> find_ref(std::string_view listed, std::string_view ref);

// An empty repository with the public address as its origin.
[[nodiscard]] std::vector<Argv> make_repository(const model::GitSource& source, const ResolvedRef& at);
// Fetches as little as the ref, or the commit, needs.
[[nodiscard]] Argv fetch_ref(const model::GitSource& source, const ResolvedRef& at);
[[nodiscard]] Argv fetch_commit(const model::GitSource& source, const ResolvedRef& at);
// For servers that do not give a commit by its name.
[[nodiscard]] Argv fetch_everything();
[[nodiscard]] Argv look_for(const std::string& object);
[[nodiscard]] Argv list_files(const ResolvedRef& at);
[[nodiscard]] std::vector<Argv> check_out(const model::GitSource& source, const ResolvedRef& at);
[[nodiscard]] Argv pack_tree(const model::GitSource& source);

// The two lists that submodules are joined from: list_files' output and what .gitmodules says.
[[nodiscard]] Argv read_modules(const ResolvedRef& at);

// The links to other repositories, piece by piece of list_files' output.
class LinkList {
 public:
  void feed(std::string_view piece);
  // Without URL.
  [[nodiscard]] const std::vector<Submodule>& links() const { return links_; }

 private:
  void take();
  std::string line_;
  std::vector<Submodule> links_;
};
// `modules` is read_modules' output and hostile.
[[nodiscard]] std::vector<Submodule> join_submodules(std::vector<Submodule> links, std::string_view modules);

// Sums up what a checkout would write, piece by piece of list_files' output.
class CheckoutSize {
 public:
  void feed(std::string_view piece);
  [[nodiscard]] std::uint64_t entries() const { return entries_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  std::string line_;  // begun: mode, type, object, size, cut before the path
  bool in_path_ = false;
  std::uint64_t entries_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace agentrouter::keeper
