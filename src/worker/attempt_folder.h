#pragma once
// DATA/attempts/<attemptId>: what keeper and worker share about one attempt.

#include <filesystem>

#include "base/fd.h"
#include "keeper/attempt_lock.h"
#include "model/ids.h"

namespace agentrouter::worker {

class AttemptFolder {
 public:
  // With attempt.lock in it, so that a keeper may start. May be repeated.
  [[nodiscard]] static base::Result<AttemptFolder> make(const std::filesystem::path& attempts,
                                                        const model::AttemptId& id);
  // Errors: not_found.
  [[nodiscard]] static base::Result<AttemptFolder> open(const std::filesystem::path& attempts,
                                                        const model::AttemptId& id);

  [[nodiscard]] int fd() const { return fd_.get(); }
  // A file of the keeper for reading. Errors: not_found, open(2). Links are not followed.
  [[nodiscard]] base::Result<base::Fd> file(const char* name) const;
  // 0 when it is not there.
  [[nodiscard]] std::uint64_t size_of(const char* name) const;

 private:
  explicit AttemptFolder(base::Fd fd) : fd_(std::move(fd)) {}
  base::Fd fd_;
};

}  // namespace agentrouter::worker
