#pragma once
// The other end: what is fetched from it and sent to it, with the credential that belongs to it.

#include "git/handle.h"

namespace agentrouter::git {

struct Credential {
  std::string user;
  std::string secret;  // empty for none
};

class RemoteEnd {
  struct Opened {};  // only open() makes one

 public:
  RemoteEnd(Opened, Credential credential) : credential_(std::move(credential)) {}
  // Errors: unavailable (push_unreachable: no URL that can be used).
  [[nodiscard]] static base::Result<std::unique_ptr<RemoteEnd>> open(git_repository* repository,
                                                                     const std::string& url, Credential credential);
  [[nodiscard]] git_remote* get() const { return remote_.get(); }
  [[nodiscard]] git_remote_callbacks callbacks();

  // Why the remote has refused the reference; empty when it has not.
  [[nodiscard]] const std::string& refusal() const { return refusal_; }

 private:
  static int give_credential(git_credential** out, const char* url, const char* user, unsigned allowed, void* self);
  static int take_status(const char* reference, const char* status, void* self);

  Credential credential_;
  int asked_ = 0;  // for the credential: a second time means that it was refused
  std::string refusal_;
  Remote remote_;
};

// All branches and tags, with their history. Errors: as push().
[[nodiscard]] base::Result<void> fetch_all(RemoteEnd& remote);
// Never forced. Errors: as push().
[[nodiscard]] base::Result<void> send(RemoteEnd& remote, const std::string& from, const std::string& to);

}  // namespace agentrouter::git
