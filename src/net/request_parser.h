#pragma once
// Bytes in, one request out, without I/O. Boost.Beast parses; around it stands a guard that refuses by
// default whatever another server in the chain could frame differently (request smuggling).
//
// Refused with 400 unless another status is named: a line that does not end with CR LF, control characters,
// folded fields, no Host or two (HTTP/1.0 may have none), a Host that is no host, Transfer-Encoding in
// HTTP/1.0 or beside Content-Length or twice, any coding but `chunked` (501), two Content-Lengths or one that
// is not digits, a target that is not a path (or an absolute http URL naming the same host), chunk
// extensions, an expectation other than 100-continue (417), HTTP versions other than 1.0 and 1.1 (505), a
// head over its limit (431), a body over its limit (413).

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "net/http.h"

namespace agentrouter::net {

struct BadRequest {
  int status = 400;
  std::string message;
};
template <class T>
using Parsed = tl::expected<T, BadRequest>;

class RequestParser {
 public:
  explicit RequestParser(std::size_t head_limit = 16 * 1024);
  RequestParser(RequestParser&&) noexcept;
  RequestParser& operator=(RequestParser&&) noexcept;
  ~RequestParser();

  // Offers all bytes that are not consumed yet. Consumes nothing until the head is complete, then exactly the
  // head; returns how much. After an error the connection cannot be used for another request.
  [[nodiscard]] Parsed<std::size_t> feed_head(std::string_view bytes);
  // After the head: appends decoded bytes to `body`, returns how many raw ones were consumed. Bytes that are
  // left over must be offered again with what follows them.
  [[nodiscard]] Parsed<std::size_t> feed_body(std::string_view bytes, std::string& body);
  // Checks at once what the head announces.
  [[nodiscard]] Parsed<void> limit_body(std::uint64_t bytes);

  [[nodiscard]] bool head_done() const;
  [[nodiscard]] bool done() const;  // head and body
  [[nodiscard]] bool expects_continue() const;
  [[nodiscard]] std::optional<std::uint64_t> content_length() const;
  [[nodiscard]] Request& request();  // once head_done()
  [[nodiscard]] const Request& request() const;

  // Ready for the next request of the connection.
  void reset();

 private:
  class Beast;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace agentrouter::net
