#pragma once
// The client's half of HTTP/1.1: a request head as bytes, a strict response parser without I/O, and
// `ClientConnection`, which joins both to a Stream.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/asio.h"
#include "base/error.h"
#include "net/http.h"
#include "net/stream.h"

namespace agentrouter::net {

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";
  Headers headers;  // with Host; Content-Length is added when there is a body
  std::string body = {};
};

// Request line and fields up to the empty line. Throws Failure(invalid) when a part holds a control
// character.
[[nodiscard]] std::string request_head(const ClientRequest& request);

struct ResponseHead {
  int status = 0;
  Headers headers;
  int minor_version = 1;
};

struct ResponseLimits {
  std::size_t head_bytes = 64 * 1024;
  std::uint64_t body_bytes = UINT64_MAX;
};

enum class Answers { other, head };  // what is answered: a HEAD's answer has no body whatever its fields say

// Bytes in, head and body out. Interim 1xx answers are skipped. Refuses what another reader could frame
// differently: Transfer-Encoding other than `chunked`, or beside a Content-Length; two lengths; obs-fold.
class ResponseParser {
 public:
  explicit ResponseParser(Answers answers = Answers::other, ResponseLimits limits = {});
  ResponseParser(ResponseParser&&) noexcept;
  ResponseParser& operator=(ResponseParser&&) noexcept;
  ~ResponseParser();

  // Appends decoded body bytes to `body`. Consumes all of `bytes` until the message is done; returns how many
  // were consumed. Errors: invalid (not HTTP/1.1 as we accept it), exhausted (a limit).
  [[nodiscard]] Result<std::size_t> feed(std::string_view bytes, std::string& body);
  // The peer closed. Errors: unavailable (the message is cut short).
  [[nodiscard]] Result<void> finish();

  [[nodiscard]] bool head_done() const;
  [[nodiscard]] const ResponseHead& head() const;  // once head_done()
  [[nodiscard]] bool done() const;
  // Whether the connection can carry another request after done().
  [[nodiscard]] bool keep_alive() const;
  // The length announced by the head, nullopt when chunked or delimited by close.
  [[nodiscard]] std::optional<std::uint64_t> content_length() const;

 private:
  class Beast;
  struct State;
  std::unique_ptr<State> state_;
};

// One connection to a server, one request at a time.
class ClientConnection {
 public:
  explicit ClientConnection(std::unique_ptr<Stream> stream, ResponseLimits limits = {});
  ClientConnection(ClientConnection&&) noexcept;
  ClientConnection& operator=(ClientConnection&&) noexcept;
  ~ClientConnection();

  // Sends the request, resumes with the head of its answer. Errors: those of Stream and ResponseParser.
  [[nodiscard]] Task<Result<ResponseHead>> send(ClientRequest request, base::Deadline deadline);
  // The next piece of the body, "" at its end. Errors: the same; unavailable when it is cut short.
  [[nodiscard]] Task<Result<std::string>> read_some(base::Deadline deadline);
  // The whole rest of the body. Errors: also exhausted (over `max_bytes`).
  [[nodiscard]] Task<Result<std::string>> read_body(std::uint64_t max_bytes, base::Deadline deadline);

  // True when the answer is read to its end and another request may follow.
  [[nodiscard]] bool reusable() const;
  void close();

 private:
  Task<Result<bool>> fill(base::Deadline deadline);

  std::unique_ptr<Stream> stream_;
  ResponseLimits limits_;
  std::optional<ResponseParser> parser_;
  std::string buffer_;   // bytes of the next answer
  std::string pending_;  // decoded, not yet handed out
};

}  // namespace agentrouter::net
