#pragma once
// A run's changes as one commit on the commit that its workspace was cloned from, pushed to a branch of the
// remote. Nothing is checked out and no program of git's is run: no hook, filter or attribute has an effect,
// on this side, and the agent's own `.git` is not looked at. The same request gives the same commit, so it may
// be repeated; nothing is ever forced.

#include <string>

#include "workspace/file_view.h"
#include "workspace/push_order.h"

namespace agentrouter::git {

using workspace::Pushed;
using workspace::PushRequest;

// `scratch`: an empty folder, for objects; the caller removes it. `objects`: a folder with git objects to take
// what is in the repository from, or empty; what is not there is fetched.
//
// Errors:
//   conflict, no_changes          what git would show is what the base commit has
//   exhausted, too_many_changes   a limit of the walk was reached
//   conflict, push_rejected       the branch has moved on, or the remote's own rules refuse it
//   denied, push_auth_failed      the remote does not take the credential
//   unavailable, push_unreachable the remote cannot be reached, or is no repository
//   conflict, push_base_missing   the remote does not have the base commit any more
//   conflict, push_bad_name       git does not take the name of a file
//   unavailable                   something on this side
[[nodiscard]] base::Result<Pushed> push(const workspace::FileView& view, const PushRequest& request,
                                        const std::string& scratch, const std::string& objects);

}  // namespace agentrouter::git
