#include "git/tree_update.h"

#include <algorithm>
#include <span>

namespace agentrouter::git {

using base::Result;
using MaybeTree = std::optional<git_oid>;

namespace {

std::string first_name(const std::string& path, std::size_t from) {
  return path.substr(from, path.find('/', from) - from);
}

bool is_leaf(const std::string& path, std::size_t from) {
  return path.find('/', from) == std::string::npos;
}

class TreeUpdate {
 public:
  explicit TreeUpdate(git_repository* repository) : repository_(repository) {}

  // `edits` are sorted and share the first `from` bytes of their paths.
  Result<MaybeTree> update(const git_tree* before, std::span<const TreeEdit> edits, std::size_t from) {
    git_treebuilder* made = nullptr;
    if (::git_treebuilder_new(&made, repository_, before) != 0) return failed("cannot make a tree");
    const TreeBuilder builder(made);
    while (!edits.empty()) {
      const auto name = first_name(edits.front().path, from);
      const auto end = std::find_if(edits.begin(), edits.end(), [&](const TreeEdit& edit) {
        return first_name(edit.path, from) != name;
      });
      const auto same = edits.first(static_cast<std::size_t>(end - edits.begin()));
      if (auto done = replace(builder.get(), before, name, same, from); !done) return tl::unexpected(done.error());
      edits = edits.subspan(same.size());
    }
    if (::git_treebuilder_entrycount(builder.get()) == 0) return MaybeTree();
    git_oid id;
    if (::git_treebuilder_write(&id, builder.get()) != 0) return failed("cannot write a tree");
    return MaybeTree(id);
  }

 private:
  Result<void> replace(git_treebuilder* builder, const git_tree* before, const std::string& name,
                       std::span<const TreeEdit> edits, std::size_t from) {
    std::vector<TreeEdit> inner;
    for (const auto& edit : edits) {
      if (!is_leaf(edit.path, from)) {
        inner.push_back(edit);
      } else if (edit.blob) {
        return insert(builder, name, *edit.blob, edit.mode);
      }
    }
    MaybeTree tree;
    if (inner.size() == edits.size() && is_submodule(before, name)) return {};
    if (!inner.empty()) {
      AGENTROUTER_TRY(const Tree below, subtree(before, name));
      AGENTROUTER_TRY(tree, update(below.get(), inner, from + name.size() + 1));
    }
    if (tree) return insert(builder, name, *tree, GIT_FILEMODE_TREE);
    if (::git_treebuilder_get(builder, name.c_str()) == nullptr) return {};
    if (::git_treebuilder_remove(builder, name.c_str()) == 0) return {};
    return failed("cannot take " + name + " out of a tree");
  }

  static bool is_submodule(const git_tree* before, const std::string& name) {
    const auto* entry = before ? ::git_tree_entry_byname(before, name.c_str()) : nullptr;
    return entry && ::git_tree_entry_type(entry) == GIT_OBJECT_COMMIT;
  }

  Result<Tree> subtree(const git_tree* before, const std::string& name) {
    const auto* entry = before ? ::git_tree_entry_byname(before, name.c_str()) : nullptr;
    if (!entry || ::git_tree_entry_type(entry) != GIT_OBJECT_TREE) return Tree();
    git_tree* found = nullptr;
    if (::git_tree_lookup(&found, repository_, ::git_tree_entry_id(entry)) != 0) return failed("cannot read a tree");
    return Tree(found);
  }

  static Result<void> insert(git_treebuilder* builder, const std::string& name, const git_oid& id,
                             git_filemode_t mode) {
    if (::git_treebuilder_insert(nullptr, builder, name.c_str(), &id, mode) == 0) return {};
    return base::fail(base::Code::invalid, "git does not take the name " + name + ": " + last_words());
  }

  git_repository* repository_;
};

}  // namespace

Result<MaybeTree> update_tree(git_repository* repository, const git_tree* before, std::vector<TreeEdit> edits) {
  // By names, not by bytes, so that what lies in one folder stands together.
  std::sort(edits.begin(), edits.end(), [](const TreeEdit& a, const TreeEdit& b) {
    return std::lexicographical_compare(
        a.path.begin(), a.path.end(), b.path.begin(), b.path.end(), [](char x, char y) {
          const auto weight = [](char c) { return c == '/' ? -1 : static_cast<int>(static_cast<unsigned char>(c)); };
          return weight(x) < weight(y);
        });
  });
  return TreeUpdate(repository).update(before, edits, 0);
}

}  // namespace agentrouter::git
