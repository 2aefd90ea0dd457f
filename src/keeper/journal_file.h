#pragma once
// The few things that the journal asks of its file, so that a test can fail each of them.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"

namespace agentrouter::keeper {

class JournalFile {
 public:
  virtual ~JournalFile() = default;
  // Writes some of `bytes` at `offset`; says how many. Errors: exhausted when the disk is full.
  [[nodiscard]] virtual base::Result<std::size_t> write_at(std::uint64_t offset, std::string_view bytes) = 0;
  // fdatasync. Safe beside write_at from another thread. Once it has failed it never works again: what the
  // kernel could not write may be lost although it is read, and a later sync would say nothing about it.
  [[nodiscard]] base::Result<void> sync();
  // Makes sure that [0, size) can be written without new blocks; the file's length stays. A file system that
  // cannot do that says ok. Errors: exhausted.
  [[nodiscard]] virtual base::Result<void> allocate(std::uint64_t size) = 0;

 protected:
  [[nodiscard]] virtual base::Result<void> sync_once() = 0;

 private:
  std::atomic<bool> refused_{false};
};

// Takes a descriptor that is open for writing.
[[nodiscard]] std::unique_ptr<JournalFile> open_journal_file(base::Fd fd);

}  // namespace agentrouter::keeper
