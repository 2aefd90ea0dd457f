#pragma once
// A git patch under a cap, change by change; what cannot be shown is named where possible.

#include "workspace/content.h"
#include "workspace/sink.h"
#include "workspace/walk.h"

namespace agentrouter::workspace {

class PatchWriter {
 public:
  struct Limits {
    std::uint64_t patch_bytes = 0;
    std::uint64_t file_bytes = 0;  // a larger one is named but not shown
  };
  // `fd` is borrowed.
  PatchWriter(int fd, Limits limits, Deadline deadline)
      : limits_(limits), deadline_(deadline), sink_(fd, limits.patch_bytes) {}

  void add(const Change& change, const ContentSource& before, const ContentSource& after);
  // Something is missing that no line of the patch names.
  void mark_truncated() { truncated_ = true; }
  [[nodiscard]] bool truncated() const { return truncated_; }

  // Everything is written. Errors: those of write(2).
  [[nodiscard]] base::Result<void> finish() { return sink_.finish(); }
  [[nodiscard]] std::uint64_t bytes() const { return sink_.bytes(); }
  [[nodiscard]] std::string sha256() const { return sink_.sha256(); }

 private:
  void leave_out(const Change& change, std::string_view why);
  [[nodiscard]] bool has_same_bytes(const Change& change, const ContentSource& before,
                                    const ContentSource& after) const;

  Limits limits_;
  Deadline deadline_;
  Sink sink_;
  bool truncated_ = false;
};

}  // namespace agentrouter::workspace
