#pragma once
// libgit2's objects with owners, and its errors as ours. Only this room knows libgit2.

#include <git2.h>

#include <memory>
#include <string>

#include "base/error.h"

namespace agentrouter::git {

template <auto Free>
struct Freeing {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
template <class T, auto Free>
using Handle = std::unique_ptr<T, Freeing<Free>>;

using Repository = Handle<git_repository, git_repository_free>;
using Odb = Handle<git_odb, git_odb_free>;
using Tree = Handle<git_tree, git_tree_free>;
using Commit = Handle<git_commit, git_commit_free>;
using Signature = Handle<git_signature, git_signature_free>;
using Remote = Handle<git_remote, git_remote_free>;
using TreeBuilder = Handle<git_treebuilder, git_treebuilder_free>;
using TreeEntry = Handle<git_tree_entry, git_tree_entry_free>;
using Reference = Handle<git_reference, git_reference_free>;

// libgit2's own words for what has just failed.
[[nodiscard]] std::string last_words();
// Errors: unavailable, "<what>: <libgit2's words>".
[[nodiscard]] tl::unexpected<base::Error> failed(const std::string& what);

[[nodiscard]] std::string to_hex(const git_oid& id);

}  // namespace agentrouter::git
