#include "git/push.h"

#include <algorithm>

#include "git/transfer.h"
#include "git/tree_update.h"

// For builds with a leak checker: libgit2 1.5 forgets pcre2's match data where a pattern does not match.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libpcre2\n";
}

namespace agentrouter::git {

using base::Code;
using base::fail;
using base::Result;

namespace {

// What the commit is called in the scratch repository.
constexpr const char* local_ref = "refs/heads/agentrouter";
constexpr std::chrono::minutes walk_time{5};

class Push {
 public:
  Push(const workspace::FileView& view, const PushRequest& request) : view_(view), request_(request) {}

  Result<Pushed> run(const std::string& scratch, const std::string& objects) {
    if (auto done = open(scratch, objects); !done) return tl::unexpected(done.error());
    if (auto done = find_base(); !done) return tl::unexpected(done.error());
    AGENTROUTER_TRY(auto edits, make_blobs());
    const auto files = edits.size();
    AGENTROUTER_TRY(const git_oid tree, make_tree(std::move(edits)));
    AGENTROUTER_TRY(const git_oid commit, make_commit(tree));
    if (auto done = send(*remote_, local_ref, "refs/heads/" + request_.branch); !done)
      return tl::unexpected(done.error());
    return Pushed{to_hex(commit), files};
  }

 private:
  Result<void> open(const std::string& scratch, const std::string& objects) {
    git_repository* made = nullptr;
    if (::git_repository_init(&made, scratch.c_str(), 1) != 0) return failed("cannot make a repository");
    repository_.reset(made);
    if (!objects.empty()) {
      git_odb* odb = nullptr;
      if (::git_repository_odb(&odb, repository_.get()) != 0) return failed("cannot open the objects");
      const Odb owned(odb);
      if (::git_odb_add_disk_alternate(odb, objects.c_str()) != 0) return failed("cannot open the base objects");
    }
    AGENTROUTER_TRY(remote_, RemoteEnd::open(repository_.get(), request_.url, {request_.user, request_.secret}));
    return {};
  }

  Result<void> find_base() {
    git_oid id;
    if (request_.base.size() != GIT_OID_HEXSZ || ::git_oid_fromstr(&id, request_.base.c_str()) != 0)
      return fail(Code::invalid, "the base is no commit");
    git_commit* found = nullptr;
    if (::git_commit_lookup(&found, repository_.get(), &id) != 0) {
      if (auto fetched = fetch_all(*remote_); !fetched) return fetched;
      if (::git_commit_lookup(&found, repository_.get(), &id) != 0) {
        return fail(Code::conflict, "The remote does not have the commit " + request_.base + " any more",
                    "push_base_missing");
      }
    }
    base_.reset(found);
    return {};
  }

  Result<std::vector<TreeEdit>> make_blobs() {
    workspace::WalkLimits limits;
    limits.deadline = std::chrono::steady_clock::now() + walk_time;
    const auto changes = view_.changes(limits);
    if (changes.truncated)
      return fail(Code::exhausted, "The run has changed more than a commit can be made of", "too_many_changes");
    if (changes.list.empty()) return fail(Code::conflict, "The run has changed nothing", "no_changes");
    std::vector<TreeEdit> edits;
    for (const auto& change : changes.list) {
      const auto path = request_.subdir.empty() ? change.path : request_.subdir + "/" + change.path;
      TreeEdit edit{path, {}, GIT_FILEMODE_BLOB};
      if (change.after.is_content()) {
        AGENTROUTER_TRY(edit.blob, make_blob(change));
        if (change.after.executable) edit.mode = GIT_FILEMODE_BLOB_EXECUTABLE;
        if (change.after.kind == workspace::Kind::link) edit.mode = GIT_FILEMODE_LINK;
      }
      edits.push_back(std::move(edit));
    }
    return edits;
  }

  Result<git_oid> make_blob(const workspace::Change& change) {
    git_oid id;
    if (change.after.kind == workspace::Kind::link) {
      AGENTROUTER_TRY(const auto target, view_.target(change.path));
      if (::git_blob_create_from_buffer(&id, repository_.get(), target.data(), target.size()) != 0)
        return failed("cannot write an object");
      return id;
    }
    git_writestream* stream = nullptr;
    if (::git_blob_create_from_stream(&stream, repository_.get(), nullptr) != 0)
      return failed("cannot write an object");
    const workspace::MergedFolder::Found found{change.after, workspace::From::upper};
    const auto read = view_.read(change.path, found, 0, change.after.size,
                                 [stream](std::string_view piece) -> Result<void> {
                                   if (stream->write(stream, piece.data(), piece.size()) == 0) return {};
                                   return failed("cannot write an object");
                                 });
    if (!read) {
      stream->free(stream);
      return tl::unexpected(read.error());
    }
    if (::git_blob_create_from_stream_commit(&id, stream) != 0) return failed("cannot write an object");
    return id;
  }

  Result<git_oid> make_tree(std::vector<TreeEdit> edits) {
    git_tree* before = nullptr;
    if (::git_commit_tree(&before, base_.get()) != 0) return failed("cannot read the base tree");
    const Tree owned(before);
    const auto made = update_tree(repository_.get(), before, std::move(edits));
    if (!made && made.error().code == Code::invalid) return fail(Code::conflict, made.error().message, "push_bad_name");
    if (!made) return tl::unexpected(made.error());
    git_oid tree;
    if (*made) {
      tree = **made;
    } else if (git_treebuilder* none = nullptr; ::git_treebuilder_new(&none, repository_.get(), nullptr) == 0) {
      const TreeBuilder builder(none);
      if (::git_treebuilder_write(&tree, none) != 0) return failed("cannot write a tree");
    }
    if (::git_oid_equal(&tree, ::git_tree_id(before)))
      return fail(Code::conflict, "The run has changed nothing that the commit does not have", "no_changes");
    return tree;
  }

  Result<git_oid> make_commit(const git_oid& tree_id) {
    git_signature* made = nullptr;
    if (::git_signature_new(&made, request_.author.name.c_str(), request_.author.email.c_str(), request_.time, 0) != 0)
      return failed("cannot name the author");
    const Signature author(made);
    git_tree* found = nullptr;
    if (::git_tree_lookup(&found, repository_.get(), &tree_id) != 0) return failed("cannot read the tree");
    const Tree tree(found);
    const git_commit* parents[] = {base_.get()};
    git_oid id;
    if (::git_commit_create(&id, repository_.get(), local_ref, author.get(), author.get(), "UTF-8",
                            request_.message.c_str(), tree.get(), 1, parents) != 0)
      return failed("cannot make the commit");
    return id;
  }

  const workspace::FileView& view_;
  const PushRequest& request_;
  Repository repository_;
  std::unique_ptr<RemoteEnd> remote_;
  Commit base_;
};

// Nothing of this machine's or a user's configuration counts, nor who owns which folder.
void start_library() {
  ::git_libgit2_init();
  for (const int level : {GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM, GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_GLOBAL})
    ::git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, level, "");
  ::git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
}

}  // namespace

Result<Pushed> push(const workspace::FileView& view, const PushRequest& request, const std::string& scratch,
                    const std::string& objects) {
  start_library();
  auto pushed = Push(view, request).run(scratch, objects);
  ::git_libgit2_shutdown();
  return pushed;
}

}  // namespace agentrouter::git
