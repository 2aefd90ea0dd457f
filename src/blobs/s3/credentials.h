#pragma once
// Where the keys of a store come from: the environment, once; or files, which are read again when they
// change, so that keys are rotated without a restart.

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/error.h"
#include "blobs/s3/sigv4.h"

namespace agentrouter::blobs {

struct CredentialFiles {
  std::string access_key;
  std::string secret_key;
  std::string session_token;  // may be empty: there is none
};

class CredentialSource {
 public:
  // These, for as long as it lives.
  explicit CredentialSource(Credentials fixed) : current_(std::move(fixed)) {}
  // Of from_files().
  CredentialSource(CredentialFiles files, Credentials read, std::string state)
      : files_(std::move(files)), current_(std::move(read)), state_(std::move(state)) {}
  // Errors: that of reading, invalid when one is empty or no key; each names the file.
  [[nodiscard]] static base::Result<std::unique_ptr<CredentialSource>> from_files(CredentialFiles files);

  // Safe from any thread. A file that cannot be read now leaves what it said before.
  [[nodiscard]] Credentials current();
  // Told of keys that are new, on the thread that calls current(); set before the first call.
  void on_change(std::function<void(const Credentials&)> told) { told_ = std::move(told); }

 private:
  CredentialFiles files_;
  std::mutex mutex_;
  Credentials current_;  // guarded by mutex_
  std::string state_;    // guarded by mutex_: of the files when they were read
  std::function<void(const Credentials&)> told_;
};

}  // namespace agentrouter::blobs
