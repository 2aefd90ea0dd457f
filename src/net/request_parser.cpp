#include "net/request_parser.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include "net/beast_view.h"
#include "net/head_guard.h"
#include "net/url.h"

namespace agentrouter::net {

namespace http = boost::beast::http;
using boost::system::error_code;

namespace {

tl::unexpected<BadRequest> bad(int status, std::string message) {
  return tl::unexpected<BadRequest>(BadRequest{status, std::move(message)});
}

// True when the request line ends with a version of HTTP, whichever.
bool names_http(std::string_view head) {
  const auto line = head.substr(0, head.find('\r'));
  const auto blank = line.rfind(' ');
  const auto version = blank == std::string_view::npos ? std::string_view() : line.substr(blank + 1);
  return std::count(line.begin(), line.end(), ' ') == 2 && version.size() == 8 &&
         version.starts_with("HTTP/") && version[5] >= '0' && version[5] <= '9' && version[6] == '.' &&
         version[7] >= '0' && version[7] <= '9';
}

BadRequest too_large(std::uint64_t limit) {
  return {413, "the request body is over " + std::to_string(limit) + " bytes"};
}

// One Host that is one, or, in HTTP/1.0 only, none. Returns what is wrong.
std::string_view host_problem(const Request& request) {
  const auto hosts = request.headers.count("host");
  if (hosts > 1) return "more than one Host";
  if (hosts == 0) return request.minor_version == 0 ? "" : "no Host";
  return parse_authority(request.headers.get("host")) ? "" : "a Host that is not a host";
}

// Splits a target that is a path. Returns what is wrong.
std::string_view split_path(Request& request, std::string_view origin) {
  const auto question = origin.find('?');
  request.path = origin.substr(0, question);
  if (question != std::string_view::npos) request.query = parse_query(origin.substr(question + 1));
  std::string_view rest = std::string_view(request.path).substr(1);
  for (;;) {
    const auto slash = rest.find('/');
    auto segment = percent_decode(rest.substr(0, slash));
    if (!segment) return "a broken percent sign in the path";
    request.segments.push_back(std::move(*segment));
    if (slash == std::string_view::npos) return "";
    rest.remove_prefix(slash + 1);
  }
}

// Takes apart the target in the four forms of RFC 9112 section 3.2. Returns what is wrong.
std::string_view target_problem(Request& request) {
  const std::string_view target = request.target;
  for (const char c : target) {
    if (c <= 0x20 || c >= 0x7f || c == '#') return "a character in the target that must be percent-encoded";
  }
  if (request.method == "CONNECT") {
    const auto authority = parse_authority(target);
    return authority && authority->port != 0 ? "" : "a CONNECT target that is not host:port";
  }
  if (target == "*") return request.method == "OPTIONS" ? "" : "a target that is not a path";
  if (target.starts_with('/')) return split_path(request, target);
  const auto url = parse_url(target);
  if (!url || url->scheme != Scheme::http) return "a target that is not a path";
  const auto host = parse_authority(request.headers.get("host"));
  if (host && (host->host != url->host || (host->port != 0 ? host->port : 80) != url->port)) {
    return "a target and a Host that differ";
  }
  return split_path(request, url->target());
}

}  // namespace

class RequestParser::Beast final : public http::basic_parser<true> {
 public:
  Request request;
  bool complete = false;
  bool extended = false;  // a chunk had an extension
  std::string* body = nullptr;
  std::uint64_t body_left = UINT64_MAX;
  std::uint64_t chunk_left = 0;

  [[nodiscard]] bool between_chunks() const { return chunked() && chunk_left == 0; }

 private:
  void on_request_impl(http::verb, StringView method, StringView target, int version, error_code&) override {
    request.method = view(method);
    request.target = view(target);
    request.minor_version = version - 10;
  }
  void on_response_impl(int, StringView, int, error_code&) override {}
  void on_field_impl(http::field, StringView name, StringView value, error_code&) override {
    // Fields after the body (trailers) are dropped.
    if (!in_body_) request.headers.add(std::string(view(name)), std::string(view(value)));
  }
  void on_header_impl(error_code&) override { in_body_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(StringView bytes, error_code&) override {
    body->append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_chunk_header_impl(std::uint64_t size, StringView extensions, error_code& error) override {
    if (!extensions.empty()) {
      extended = true;
      error = http::error::bad_chunk_extension;
    } else if (size > body_left) {
      error = http::error::body_limit;
    } else {
      body_left -= size;
      chunk_left = size;
    }
  }
  std::size_t on_chunk_body_impl(std::uint64_t, StringView bytes, error_code&) override {
    body->append(bytes.data(), bytes.size());
    chunk_left -= bytes.size();
    return bytes.size();
  }
  void on_finish_impl(error_code&) override { complete = true; }

  bool in_body_ = false;
};

struct RequestParser::State {
  explicit State(std::size_t limit) : head_limit(limit) { restart(); }

  void restart() {
    beast.emplace();
    beast->header_limit(static_cast<std::uint32_t>(head_limit + 1));
    beast->body_limit(boost::none);
    scanner = {};
    framing = {};
    body_limit = UINT64_MAX;
    blank_bytes = 0;
    head_done = false;
  }

  Parsed<void> parse_head(std::string_view head);
  Parsed<void> judge_head();

  std::size_t head_limit;
  std::optional<Beast> beast;
  HeadScanner scanner;
  Framing framing;
  std::uint64_t body_limit = UINT64_MAX;
  std::size_t blank_bytes = 0;
  bool head_done = false;
};

Parsed<void> RequestParser::State::parse_head(std::string_view head) {
  error_code error;
  const auto used = beast->put(boost::asio::buffer(head.data(), head.size()), error);
  if (error == http::error::bad_version && names_http(head)) return bad(505, "not HTTP/1.0 or HTTP/1.1");
  if (error == http::error::header_limit) return bad(431, "the request head is too large");
  if (error || used != head.size() || !beast->is_header_done()) {
    return bad(400, "the request head is not HTTP: " + (error ? error.message() : "more than one message"));
  }
  return judge_head();
}

Parsed<void> RequestParser::State::judge_head() {
  auto& request = beast->request;
  framing = framing_of(request.headers, request.minor_version);
  if (framing.unknown_coding) return bad(501, std::string(framing.problem));
  for (const auto problem : {framing.problem, host_problem(request), target_problem(request)}) {
    if (!problem.empty()) return bad(400, "the request has " + std::string(problem));
  }
  // Beast must have read the fields as the guard did.
  if (framing.chunked != beast->chunked() || framing.length.has_value() != bool(beast->content_length())) {
    return bad(400, "the request's length is in doubt");
  }
  const auto expects = request.headers.find("expect");
  if (expects && !iequals(*expects, "100-continue"))
    return bad(417, "an expectation other than 100-continue");
  request.keep_alive = beast->keep_alive();
  head_done = true;
  return {};
}

RequestParser::RequestParser(std::size_t head_limit) : state_(std::make_unique<State>(head_limit)) {}
RequestParser::RequestParser(RequestParser&&) noexcept = default;
RequestParser& RequestParser::operator=(RequestParser&&) noexcept = default;
RequestParser::~RequestParser() = default;

Parsed<std::size_t> RequestParser::feed_head(std::string_view bytes) {
  auto& state = *state_;
  // One empty line before a request is left over from the one before (RFC 9112 section 2.2).
  if (state.blank_bytes == 0 && bytes.starts_with("\r\n")) state.blank_bytes = 2;
  if (state.blank_bytes == 0 && bytes == "\r") return 0;
  bytes.remove_prefix(state.blank_bytes);
  const auto size = state.scanner.scan(bytes.substr(0, state.head_limit));
  if (!state.scanner.problem().empty()) {
    return bad(400, "the request has " + std::string(state.scanner.problem()));
  }
  if (!size) {
    if (bytes.size() >= state.head_limit) {
      return bad(431, "the request head is over " + std::to_string(state.head_limit) + " bytes");
    }
    return 0;
  }
  auto parsed = state.parse_head(bytes.substr(0, *size));
  if (!parsed) return tl::unexpected(std::move(parsed).error());
  return *size + state.blank_bytes;
}

Parsed<void> RequestParser::limit_body(std::uint64_t bytes) {
  state_->body_limit = bytes;
  state_->beast->body_left = bytes;
  if (state_->framing.length.value_or(0) > bytes) return tl::unexpected(too_large(bytes));
  return {};
}

Parsed<std::size_t> RequestParser::feed_body(std::string_view bytes, std::string& body) {
  auto& beast = *state_->beast;
  std::size_t used = 0;
  beast.body = &body;
  while (used < bytes.size() && !beast.complete) {
    if (beast.between_chunks() && bytes.size() - used < least_framing_bytes) break;
    error_code error;
    const auto step = beast.put(boost::asio::buffer(bytes.data() + used, bytes.size() - used), error);
    used += step;
    if (error == http::error::need_more) break;
    if (error == http::error::body_limit) return tl::unexpected(too_large(state_->body_limit));
    if (error && beast.extended) return bad(400, "the request has a chunk extension");
    if (error) return bad(400, "the request body is not framed as HTTP: " + error.message());
  }
  if (!beast.complete && bytes.size() - used > max_framing_bytes) {
    return bad(431, "a chunk size or trailer is over " + std::to_string(max_framing_bytes) + " bytes");
  }
  return used;
}

bool RequestParser::head_done() const {
  return state_->head_done;
}
bool RequestParser::done() const {
  return state_->head_done && state_->beast->complete;
}

bool RequestParser::expects_continue() const {
  return state_->beast->request.minor_version == 1 &&
         state_->beast->request.headers.find("expect").has_value();
}

std::optional<std::uint64_t> RequestParser::content_length() const {
  return state_->framing.length;
}
Request& RequestParser::request() {
  return state_->beast->request;
}
const Request& RequestParser::request() const {
  return state_->beast->request;
}
void RequestParser::reset() {
  state_->restart();
}

}  // namespace agentrouter::net
