#pragma once
// One HTTP connection driven by whoever waits on it: no thread of its own, no callback into the caller's
// code. The only file pair that knows libcurl.

#include <agentrouter/client.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace agentrouter::detail {

struct HttpRequest {
  std::string method = "GET";
  std::string target;  // path and query, encoded
  std::vector<std::string> headers = {};
  std::optional<std::string> body = {};
  std::filesystem::path body_file = {};  // instead: the bytes of this file
};

// One thread at a time, except wake().
class Channel {
 public:
  explicit Channel(const ClientOptions& options);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Begins an exchange; one that was under way is abandoned with its connection. `options` as in the
  // constructor.
  void start(const ClientOptions& options, HttpRequest request);
  // Lets bytes flow. Returns when some arrived, the head of the reply is complete, the exchange has ended,
  // after `wait`, or after wake(). False once the exchange has ended.
  bool drive(std::chrono::milliseconds wait);
  // Sleeps for `wait`, or until wake().
  void pause(std::chrono::milliseconds wait);
  // Ends the exchange at once.
  void abandon();
  // From any thread: makes a drive() or pause(), also the next one, return early.
  void wake();

  // Bytes of the request's body that have left.
  [[nodiscard]] std::int64_t sent() const;
  // Of the reply's head; 0 and empty before it is complete.
  [[nodiscard]] int status() const;
  [[nodiscard]] const std::string& content_type() const;
  [[nodiscard]] std::optional<std::chrono::seconds> retry_after() const;
  // Bytes of the body that arrived since the last call.
  [[nodiscard]] std::string take_body();
  // Why the exchange ended, when it was not the end of a complete reply: a network_error.
  [[nodiscard]] std::optional<Error> failure() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace agentrouter::detail
