#pragma once
// Whole calls on top of channels: authorisation, errors of the server as Error, time limits, cancellation,
// and the retries that are safe. Channels are kept for the next call. Any thread.

#include <agentrouter/client.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "channel.hpp"

namespace agentrouter::detail {

// A POST body of the API, and a path segment or query value as it must be written.
[[nodiscard]] std::string percent_encoded(std::string_view text);

// The server's refusal as it is thrown: its own code and message, or "api_error".
[[nodiscard]] Error reply_error(int status, std::string_view body);

[[nodiscard]] Error wait_timeout(const Run& run);

// Doubling pauses from `first` up to `most`, each cut at random by up to half so that clients that lost the
// same server do not return together.
class Backoff {
 public:
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds most);
  [[nodiscard]] std::chrono::milliseconds next(std::chrono::milliseconds at_least = {});
  void reset() { failures_ = 0; }

 private:
  std::chrono::milliseconds first_;
  std::chrono::milliseconds most_;
  int failures_ = 0;
};

enum class Repeat { safe, never };

class Transport {
 public:
  // Throws Error invalid_argument.
  explicit Transport(ClientOptions options);

  // The body of a 2xx reply. At most 64 MiB.
  [[nodiscard]] std::string call(const HttpRequest& request, const CallOptions& call, Repeat repeat);
  // Hands the body of a 2xx reply to `sink`; repeats only while it has been given nothing. The time limit is
  // on silence, not on the whole.
  void fetch(const HttpRequest& request, const CallOptions& call, const Sink& sink);

  [[nodiscard]] std::unique_ptr<Channel> take_channel();
  void give_back(std::unique_ptr<Channel> channel);
  // `request` with the headers that every request has.
  [[nodiscard]] HttpRequest completed(const HttpRequest& request) const;
  [[nodiscard]] const ClientOptions& options() const { return options_; }

 private:
  struct Attempt;
  bool attempt(Channel& channel, const HttpRequest& request, const CallOptions& call, Attempt& attempt);
  void run(const HttpRequest& request, const CallOptions& call, Attempt& attempt);

  ClientOptions options_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Channel>> idle_;
};

}  // namespace agentrouter::detail
