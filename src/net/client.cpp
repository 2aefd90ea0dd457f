#include "net/client.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include "net/beast_view.h"
#include "net/head_guard.h"

namespace agentrouter::net {

namespace http = boost::beast::http;
using boost::system::error_code;

namespace {

tl::unexpected<base::Error> refuse(const std::string& why) {
  return base::fail(base::Code::invalid, "cannot read a response: " + why);
}

tl::unexpected<base::Error> over(const std::string& what, std::uint64_t limit) {
  return base::fail(base::Code::exhausted,
                    "cannot read a response: " + what + " is over " + std::to_string(limit) + " bytes");
}

void append_line(std::string& out, std::string_view text) {
  const auto is_control = [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
  };
  if (std::any_of(text.begin(), text.end(), is_control)) {
    base::throw_failure(base::Code::invalid, "cannot write a request head: a control character in it");
  }
  out.append(text).append("\r\n");
}

}  // namespace

std::string request_head(const ClientRequest& request) {
  std::string out;
  append_line(out, request.method + " " + request.target + " HTTP/1.1");
  const bool announced =
      request.headers.count("content-length") + request.headers.count("transfer-encoding") > 0;
  for (const auto& field : request.headers) append_line(out, field.name + ": " + field.value);
  const bool may_have_none = request.method == "GET" || request.method == "HEAD";
  if (!announced && (!request.body.empty() || !may_have_none)) {
    append_line(out, "Content-Length: " + std::to_string(request.body.size()));
  }
  return out + "\r\n";
}

class ResponseParser::Beast final : public http::basic_parser<false> {
 public:
  ResponseHead head;
  bool complete = false;
  std::string* body = nullptr;
  std::uint64_t body_left = UINT64_MAX;
  std::uint64_t chunk_left = 0;

  [[nodiscard]] bool between_chunks() const { return chunked() && chunk_left == 0; }

 private:
  void on_request_impl(http::verb, StringView, StringView, int, error_code&) override {}
  void on_response_impl(int status, StringView, int version, error_code&) override {
    head.status = status;
    head.minor_version = version - 10;
  }
  void on_field_impl(http::field, StringView name, StringView value, error_code&) override {
    if (!in_body_) head.headers.add(std::string(view(name)), std::string(view(value)));
  }
  void on_header_impl(error_code&) override { in_body_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(StringView bytes, error_code& error) override { return take(bytes, error); }
  void on_chunk_header_impl(std::uint64_t size, StringView, error_code&) override { chunk_left = size; }
  std::size_t on_chunk_body_impl(std::uint64_t, StringView bytes, error_code& error) override {
    chunk_left -= bytes.size();
    return take(bytes, error);
  }
  void on_finish_impl(error_code&) override { complete = true; }

  std::size_t take(StringView bytes, error_code& error) {
    if (bytes.size() > body_left) {
      error = http::error::body_limit;
      return 0;
    }
    body_left -= bytes.size();
    body->append(bytes.data(), bytes.size());
    return bytes.size();
  }

  bool in_body_ = false;
};

struct ResponseParser::State {
  State(Answers what, ResponseLimits most) : answers(what), limits(most) { restart(); }

  void restart() {
    beast.emplace();
    beast->header_limit(static_cast<std::uint32_t>(limits.head_bytes + 1));
    beast->body_limit(boost::none);
    beast->body_left = limits.body_bytes;
    if (answers == Answers::head) beast->skip(true);
    scanner = {};
    waiting.clear();
    head_done = false;
  }

  Result<std::size_t> feed_head(std::string_view bytes);
  Result<void> parse_head(std::string_view head);
  Result<std::size_t> feed_body(std::string_view bytes, std::string& body);
  Result<std::size_t> put_body(std::string_view bytes);

  Answers answers;
  ResponseLimits limits;
  std::optional<Beast> beast;
  HeadScanner scanner;
  std::string waiting;  // an incomplete head or piece of framing
  bool head_done = false;
};

Result<std::size_t> ResponseParser::State::feed_head(std::string_view bytes) {
  const auto before = waiting.size();
  const auto room = std::min(bytes.size(), limits.head_bytes - before);
  waiting.append(bytes.substr(0, room));
  const auto size = scanner.scan(waiting);
  if (!scanner.problem().empty()) return refuse("it has " + std::string(scanner.problem()));
  if (!size) {
    if (waiting.size() >= limits.head_bytes) return over("its head", limits.head_bytes);
    return room;
  }
  const std::string head = waiting.substr(0, *size);
  waiting.clear();
  auto parsed = parse_head(head);
  if (!parsed) return tl::unexpected(std::move(parsed).error());
  return *size - before;
}

Result<void> ResponseParser::State::parse_head(std::string_view bytes) {
  error_code error;
  const auto used = beast->put(boost::asio::buffer(bytes.data(), bytes.size()), error);
  if (error || used != bytes.size() || !beast->is_header_done()) {
    return refuse("its head is not HTTP/1.1" + (error ? ": " + error.message() : std::string()));
  }
  const auto& head = beast->head;
  if (head.status == 101) return refuse("it switches protocols");
  if (head.status < 200) {
    restart();
    return {};
  }
  const auto framing = framing_of(head.headers, head.minor_version);
  if (!framing.problem.empty()) return refuse("it has " + std::string(framing.problem));
  if (framing.chunked != beast->chunked()) return refuse("its length is in doubt");
  if (answers == Answers::other && may_have_body(head.status) &&
      framing.length.value_or(0) > limits.body_bytes) {
    return over("its body", limits.body_bytes);
  }
  head_done = true;
  return {};
}

// Offers `bytes` to Beast; returns how many it took.
Result<std::size_t> ResponseParser::State::put_body(std::string_view bytes) {
  std::size_t used = 0;
  while (used < bytes.size() && !beast->complete) {
    if (beast->between_chunks() && bytes.size() - used < least_framing_bytes) break;
    error_code error;
    used += beast->put(boost::asio::buffer(bytes.data() + used, bytes.size() - used), error);
    if (error == http::error::need_more) break;
    if (error == http::error::body_limit) return over("its body", limits.body_bytes);
    if (error) return refuse("its body is not framed as HTTP: " + error.message());
  }
  return used;
}

Result<std::size_t> ResponseParser::State::feed_body(std::string_view bytes, std::string& body) {
  beast->body = &body;
  if (waiting.empty()) {
    AGENTROUTER_TRY(const std::size_t used, put_body(bytes));
    if (beast->complete) return used;
    waiting = bytes.substr(used);
  } else {
    const auto before = waiting.size();
    waiting.append(bytes);
    AGENTROUTER_TRY(const std::size_t used, put_body(waiting));
    if (beast->complete) {
      waiting.clear();
      return used - before;
    }
    waiting.erase(0, used);
  }
  if (waiting.size() > max_framing_bytes) return refuse("a chunk size or trailer is too long");
  return bytes.size();
}

ResponseParser::ResponseParser(Answers answers, ResponseLimits limits)
    : state_(std::make_unique<State>(answers, limits)) {}
ResponseParser::ResponseParser(ResponseParser&&) noexcept = default;
ResponseParser& ResponseParser::operator=(ResponseParser&&) noexcept = default;
ResponseParser::~ResponseParser() = default;

Result<std::size_t> ResponseParser::feed(std::string_view bytes, std::string& body) {
  std::size_t used = 0;
  while (used < bytes.size() && !done()) {
    const auto rest = bytes.substr(used);
    auto step = state_->head_done ? state_->feed_body(rest, body) : state_->feed_head(rest);
    if (!step) return step;
    used += *step;
  }
  return used;
}

Result<void> ResponseParser::finish() {
  if (done()) return {};
  error_code error = http::error::partial_message;
  if (state_->head_done && state_->beast->got_some()) state_->beast->put_eof(error);
  if (error || !done()) return base::fail(base::Code::unavailable, "cannot read a response: it is cut short");
  return {};
}

bool ResponseParser::head_done() const {
  return state_->head_done;
}
const ResponseHead& ResponseParser::head() const {
  return state_->beast->head;
}
bool ResponseParser::done() const {
  return state_->head_done && state_->beast->complete;
}
bool ResponseParser::keep_alive() const {
  return done() && state_->beast->keep_alive();
}

std::optional<std::uint64_t> ResponseParser::content_length() const {
  const auto length = state_->beast->content_length();
  return length ? std::optional<std::uint64_t>(*length) : std::nullopt;
}

}  // namespace agentrouter::net
