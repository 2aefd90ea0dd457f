#pragma once
// What the API needs of the place where uploads go and become trees. Implemented in apps.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/asio.h"
#include "base/error.h"

namespace agentrouter::api {

struct ReceivedUpload {
  std::string sha256;
  std::uint64_t bytes = 0;
  std::string tree;
  std::uint64_t files = 0;
  bool cached = false;         // the same bytes had come before
  std::shared_ptr<void> hold;  // the tree stays until this is gone
};

// An upload on its way. Destroying it early leaves nothing.
class IncomingUpload {
 public:
  virtual ~IncomingUpload() = default;
  // Blocks. Errors: exhausted (storage_full), those of writing.
  [[nodiscard]] virtual base::Result<void> write(std::string_view bytes) = 0;
  // All bytes have come: they become a tree. Blocks, perhaps for minutes.
  //
  // Errors: invalid with reason archive_unreadable, archive_refused, archive_limit; timeout; cancelled (the
  // server is stopping); exhausted (storage_full).
  [[nodiscard]] virtual base::Result<ReceivedUpload> finish() = 0;
  // After finish(): the archive, from its beginning. Borrowed.
  [[nodiscard]] virtual int archive() const { return -1; }
};

class UploadDesk {
 public:
  virtual ~UploadDesk() = default;
  [[nodiscard]] virtual std::uint64_t max_bytes() const = 0;
  [[nodiscard]] virtual std::chrono::milliseconds keep() const = 0;
  // The same bytes of two workspaces are two trees, so that nobody learns from the time that it takes what
  // others have sent. Blocks. Errors: as of write().
  [[nodiscard]] virtual base::Result<std::unique_ptr<IncomingUpload>> begin(const std::string& workspace) = 0;
  // Makes room among the trees that are not in use. False when there is not enough. Blocks.
  [[nodiscard]] virtual bool trim(const std::vector<std::string>& in_use) = 0;
  // Keeps the archive of a tree where servers on other machines find it. Nothing to do where there are none. Errors:
  // unavailable.
  virtual base::Task<base::Result<void>> share(const std::string& /*tree*/, const IncomingUpload& /*upload*/) {
    co_return base::Result<void>();
  }
};

}  // namespace agentrouter::api
