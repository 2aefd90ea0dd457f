#pragma once
// One attempt to hand over one message: the port that the dispatcher needs, and its real side over HTTP.

#include <chrono>
#include <optional>
#include <string>

#include "base/asio.h"
#include "base/clock.h"
#include "net/http.h"
#include "net/stream.h"
#include "net/url.h"

namespace agentrouter::webhooks {

struct Outgoing {
  net::Url url;
  net::Reach reach = net::Reach::public_only;
  net::Headers headers;  // without Host and Content-Length
  std::string body;
};

struct Outcome {
  int status = 0;      // 0: no answer
  std::string error;   // why it was not taken; empty when it was
  std::optional<std::chrono::milliseconds> retry_after = {};
};

class Sender {
 public:
  virtual ~Sender() = default;
  // Never throws but when the task is cancelled; then it is not known whether the message came through.
  [[nodiscard]] virtual base::Task<Outcome> send(Outgoing message) = 0;
};

struct SenderLimits {
  std::chrono::milliseconds time = std::chrono::seconds(15);  // for all of it
  std::uint64_t body_bytes = 64 * 1024;  // of the answer's body, which is thrown away; then the connection is closed
};

// A connection for each message, without redirects. Taken is what is answered with 2xx.
class HttpSender final : public Sender {
 public:
  // `clock` outlives it. `ca_file` is PEM, in addition to the system's certificates.
  explicit HttpSender(const base::Clock& clock, std::string ca_file = {}, SenderLimits limits = {})
      : clock_(clock), ca_file_(std::move(ca_file)), limits_(limits) {}
  base::Task<Outcome> send(Outgoing message) override;

  // Done with the first message over https, because the system's certificates take their room; before it to
  // learn of a file that is none. Errors: invalid (ca_file cannot be read).
  [[nodiscard]] base::Result<void> read_certificates();

 private:
  base::Task<base::Result<std::unique_ptr<net::Stream>>> open(const Outgoing& message, base::Deadline deadline);

  const base::Clock& clock_;
  std::string ca_file_;
  SenderLimits limits_;
  std::optional<net::TlsContext> tls_;
};

// "Retry-After: 120" or a date of HTTP; nothing for what is neither, never negative.
[[nodiscard]] std::optional<std::chrono::milliseconds> retry_after_of(std::string_view value, base::Time now);

}  // namespace agentrouter::webhooks
