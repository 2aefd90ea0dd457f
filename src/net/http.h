#pragma once
// The nouns of HTTP/1.1 as the product sees them. They own their text and do no I/O; bytes become a Request
// in request_parser.h and a Response becomes bytes in response_head.h.

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agentrouter::net {

// "Content-Type" equals "content-type". ASCII only.
[[nodiscard]] bool iequals(std::string_view a, std::string_view b);

struct Header {
  std::string name;
  std::string value;
};

// Fields in the order in which they came; names compare without case. A name may occur more than once.
class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<Header> fields) : fields_(fields) {}

  void add(std::string name, std::string value) { fields_.push_back({std::move(name), std::move(value)}); }
  // Replaces every field of this name by one.
  void set(std::string_view name, std::string value);
  void remove(std::string_view name);

  // The first field of this name. The view dies with the next change.
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const;
  // The first field of this name, or "".
  [[nodiscard]] std::string_view get(std::string_view name) const { return find(name).value_or(""); }
  [[nodiscard]] std::size_t count(std::string_view name) const;
  // True when a field of this name, read as a comma-separated list, holds `token` ("Connection: close, x").
  [[nodiscard]] bool has_token(std::string_view name, std::string_view token) const;

  [[nodiscard]] std::size_t size() const { return fields_.size(); }
  [[nodiscard]] auto begin() const { return fields_.begin(); }
  [[nodiscard]] auto end() const { return fields_.end(); }
  void clear() { fields_.clear(); }

 private:
  std::vector<Header> fields_;
};

struct QueryItem {
  std::string key;
  std::string value;
};

// The head of a request. Its body is read apart (exchange.h), because who asks is judged before that.
struct Request {
  std::string method;  // as sent: "GET", "PROPFIND"
  std::string target;  // as sent: "/v1/runs?limit=1", "http://host/path", "host:443" (CONNECT), "*" (OPTIONS)
  std::string path;    // the path of `target`, still percent-encoded; empty for CONNECT and "*"
  // `path` split at "/" and then decoded, so that an encoded slash stays inside its segment:
  // "/v1/runs/a%2Fb" is {"v1", "runs", "a/b"}, "/" is {""}, "/v1/" is {"v1", ""}.
  std::vector<std::string> segments;
  // In order, repeated keys kept, "+" is a blank, decoded; a broken percent sign stays as it is.
  std::vector<QueryItem> query;
  Headers headers;
  int minor_version = 1;  // HTTP/1.0 or HTTP/1.1
  bool keep_alive = true;
  std::string remote;  // "127.0.0.1:41234", for logs

  [[nodiscard]] bool is_head() const { return method == "HEAD"; }
  // The first query item of this key.
  [[nodiscard]] std::optional<std::string_view> query_value(std::string_view key) const;
};

// A whole answer. Content-Length, Date, Connection and Transfer-Encoding are the server's: leave them out.
struct Response {
  int status = 200;
  Headers headers;
  std::string body;
};

// "Not Found" for 404; "Unknown" for what has no name.
[[nodiscard]] std::string_view reason_phrase(int status);

// False in 1xx, 204 and 304, which never have a body.
[[nodiscard]] bool may_have_body(int status);

enum class PlusIs { plus, blank };
// Decodes %41. nullopt when a percent sign is not followed by two hex digits.
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text, PlusIs plus = PlusIs::plus);
// Encodes everything but letters, digits and "-._~", as encodeURIComponent does for a path segment.
[[nodiscard]] std::string percent_encode(std::string_view text);

// "a=1&b=%20" in order. Never fails: what cannot be decoded stays as it is.
[[nodiscard]] std::vector<QueryItem> parse_query(std::string_view text);

// "Tue, 24 Nov 2026 13:38:23 GMT" for seconds since the epoch.
[[nodiscard]] std::string http_date(std::int64_t seconds);

}  // namespace agentrouter::net
