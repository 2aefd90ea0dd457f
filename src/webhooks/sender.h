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
  // Both outlive it.
  HttpSender(const net::TlsContext& tls, const base::Clock& clock, SenderLimits limits = {})
      : tls_(tls), clock_(clock), limits_(limits) {}
  base::Task<Outcome> send(Outgoing message) override;

 private:
  const net::TlsContext& tls_;
  const base::Clock& clock_;
  SenderLimits limits_;
};

// "Retry-After: 120" or a date of HTTP; nothing for what is neither, never negative.
[[nodiscard]] std::optional<std::chrono::milliseconds> retry_after_of(std::string_view value, base::Time now);

}  // namespace agentrouter::webhooks
