#pragma once
// One HTTP request at a time through libcurl, blocking. Connections stay open between requests of the same
// store: each handle keeps its own, and handles are used again, the last one first. Redirects are not
// followed.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "blobs/s3/sigv4.h"

namespace agentrouter::blobs {

struct TransportLimits {
  std::chrono::milliseconds connect{5'000};
  std::chrono::seconds idle{20};    // less than a kilobyte a second for so long
  std::chrono::seconds total{900};  // of one request, its body included
};

// A body out of a file, read with pread(2).
struct FileRange {
  int fd = -1;  // borrowed
  std::int64_t from = 0;
  std::int64_t size = 0;
};

struct HttpRequest {
  std::string method;
  std::string url;
  Pairs headers;
  std::string body;
  std::optional<FileRange> file;  // instead of `body`
  // Takes the body of a 2xx; else it is in the answer. Throws to stop.
  std::function<void(std::string_view)> sink;
  std::chrono::seconds total{0};  // 0: as in the limits
};

struct HttpAnswer {
  int status = 0;
  Pairs headers;     // names in lower case
  std::string body;  // at most `answer_bytes`; empty when a sink took it

  // The first of that name; empty when there is none.
  [[nodiscard]] std::string_view header(std::string_view name) const;
};

class Transport {
 public:
  // `ca_file`: certificates that are believed instead of the system's; may be empty.
  Transport(TransportLimits limits, std::string ca_file);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // Safe from any thread. Errors: unavailable (no connection, cut, too slow; the message says which and the
  // host), denied (the certificate is not believed), cancelled after stop(). Throws what the sink throws.
  [[nodiscard]] base::Result<HttpAnswer> perform(const HttpRequest& request);
  // What is under way ends soon, and nothing begins any more.
  void stop() { stopped_ = true; }
  [[nodiscard]] bool stopped() const { return stopped_; }

 private:
  struct Handle;
  std::unique_ptr<Handle> take();
  void give_back(std::unique_ptr<Handle> handle);

  const TransportLimits limits_;
  const std::string ca_file_;
  std::atomic<bool> stopped_ = false;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Handle>> idle_;  // guarded by mutex_
};

}  // namespace agentrouter::blobs
