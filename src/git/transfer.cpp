#include "git/transfer.h"

namespace agentrouter::git {

using base::Code;
using base::fail;
using base::Result;

namespace {

tl::unexpected<base::Error> told(int status, const std::string& what) {
  const auto why = what + ": " + last_words();
  if (status == GIT_EAUTH) return fail(Code::denied, why, "push_auth_failed");
  if (status == GIT_ENONFASTFORWARD) return fail(Code::conflict, why, "push_rejected");
  return fail(Code::unavailable, why, "push_unreachable");
}

}  // namespace

Result<std::unique_ptr<RemoteEnd>> RemoteEnd::open(git_repository* repository, const std::string& url,
                                                   Credential credential) {
  auto end = std::make_unique<RemoteEnd>(Opened{}, std::move(credential));
  git_remote* made = nullptr;
  if (::git_remote_create_anonymous(&made, repository, url.c_str()) != 0) return told(0, "cannot use the remote");
  end->remote_.reset(made);
  return end;
}

int RemoteEnd::give_credential(git_credential** out, const char*, const char* user, unsigned allowed, void* self) {
  auto& end = *static_cast<RemoteEnd*>(self);
  if (end.credential_.secret.empty() || ++end.asked_ > 2) {
    ::git_error_set_str(GIT_ERROR_HTTP, end.asked_ > 2 ? "the credential was refused" : "there is no credential for it");
    return GIT_EAUTH;
  }
  const auto name = end.credential_.user.empty() && user ? std::string(user) : end.credential_.user;
  if (allowed & GIT_CREDENTIAL_USERPASS_PLAINTEXT)
    return ::git_credential_userpass_plaintext_new(out, name.c_str(), end.credential_.secret.c_str());
  ::git_error_set_str(GIT_ERROR_HTTP, "the remote takes no password or token");
  return GIT_EAUTH;
}

int RemoteEnd::take_status(const char*, const char* status, void* self) {
  if (status) static_cast<RemoteEnd*>(self)->refusal_ = status;
  return 0;
}

git_remote_callbacks RemoteEnd::callbacks() {
  git_remote_callbacks callbacks = GIT_REMOTE_CALLBACKS_INIT;
  callbacks.credentials = &give_credential;
  callbacks.push_update_reference = &take_status;
  callbacks.payload = this;
  asked_ = 0;
  return callbacks;
}

Result<void> fetch_all(RemoteEnd& remote) {
  git_fetch_options options = GIT_FETCH_OPTIONS_INIT;
  options.callbacks = remote.callbacks();
  options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_ALL;
  options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
  char all[] = "+refs/heads/*:refs/remotes/origin/*";
  char* specs[] = {all};
  const git_strarray list{specs, 1};
  const int status = ::git_remote_fetch(remote.get(), &list, &options, nullptr);
  if (status != 0) return told(status, "cannot fetch from the remote");
  return {};
}

Result<void> send(RemoteEnd& remote, const std::string& from, const std::string& to) {
  git_push_options options = GIT_PUSH_OPTIONS_INIT;
  options.callbacks = remote.callbacks();
  options.follow_redirects = GIT_REMOTE_REDIRECT_NONE;
  std::string spec = from + ":" + to;
  char* specs[] = {spec.data()};
  const git_strarray list{specs, 1};
  const int status = ::git_remote_push(remote.get(), &list, &options);
  if (status != 0) return told(status, "cannot push");
  if (!remote.refusal().empty())
    return fail(Code::conflict, "The remote refuses the branch: " + remote.refusal(), "push_rejected");
  return {};
}

}  // namespace agentrouter::git
