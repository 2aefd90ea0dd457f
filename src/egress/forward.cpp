#include "egress/forward.h"

#include <array>
#include <charconv>

#include "egress/mcp_message.h"
#include "egress/own_request.h"
#include "egress/retry_after.h"
#include "egress/route.h"

namespace agentrouter::egress {

namespace {

using base::Code;
using base::Deadline;

constexpr std::size_t read_bytes = 16 * 1024;
// An MCP server's whole answer is kept back so far, until it is known to hold no secret.
constexpr std::size_t kept_answer_bytes = 1u << 20;
constexpr std::string_view several_parts = "multipart/byteranges";

Deadline after(std::chrono::milliseconds duration) {
  return base::SteadyClock::now() + duration;
}

// The stable word for a failed upstream, without who it is, and the status that makes an agent try again.
struct Trouble {
  int status;
  std::string_view word;
};
Trouble trouble_of(const base::Error& error) {
  if (error.reason == "address_denied") return {502, "address_denied"};
  if (error.code == Code::timeout) return {504, "timeout"};
  if (error.code == Code::denied) return {502, "certificate"};
  if (error.code == Code::invalid || error.code == Code::exhausted) return {502, "answer_invalid"};
  return {502, "unavailable"};
}

net::Answers answers_to(const net::Request& request) {
  return request.is_head() ? net::Answers::head : net::Answers::other;
}

bool is_part(const net::ResponseHead& head) {
  constexpr int partial_content = 206;
  return head.status == partial_content || head.headers.find("content-range") ||
         net::iequals(head.headers.get("content-type").substr(0, several_parts.size()), several_parts);
}

bool can_be_sent_twice(const net::Request& request) {
  return request.method == "GET" || request.method == "HEAD" || request.method == "OPTIONS";
}

// Both directions of one request. Lives as long as the coroutine that owns it.
class Passage {
 public:
  Passage(Forward context, net::Exchange& exchange)
      : context_(std::move(context)), exchange_(exchange), parser_(answers_to(exchange.request())) {
    if (context_.credential != nullptr) filter_ = context_.credential->filters();
  }

  Task<void> run(std::string first);

 private:
  enum class Sent { all, refused };

  Task<bool> ran_on_kept(const std::string& first);
  Task<Result<Sent>> ask(std::string first, std::string& body);
  void keep();
  Task<Result<void>> connect();
  Task<Result<Sent>> send(std::string piece);
  Task<Result<void>> write_piece(std::string_view piece);
  Task<Result<void>> read_more(std::string& body, Deadline deadline);
  Task<void> answer(std::string body);
  Task<bool> answered_as_a_whole(std::string& body);
  void take(std::string_view piece, std::string& out);
  bool take_end(std::string& out);
  Task<void> pass_body(net::StreamWriter& writer, std::string body);
  Task<bool> pass_piece(net::StreamWriter& writer, std::string_view piece);
  Task<void> cut(net::StreamWriter& writer);
  [[nodiscard]] bool streams() const;
  Task<void> fail(const base::Error& error);
  Task<void> refuse(int status, std::string_view reason, std::string_view message);
  [[nodiscard]] std::string refusal_of(const net::ResponseHead& head) const;
  [[nodiscard]] std::string reason(std::string_view word) const;
  [[nodiscard]] std::string_view echo() const;
  [[nodiscard]] std::string_view who() const;

  Forward context_;
  net::Exchange& exchange_;
  std::unique_ptr<net::Stream> stream_;
  net::ResponseParser parser_;
  KeyFilters filter_;
  UsageMeter meter_{UsageMeter::Format::none};
  std::optional<CallGuard> guard_;
  bool chunked_ = false;
  bool sent_all_ = false;
  bool received_ = false;
  bool surplus_ = false;  // there is more than one answer
};

Task<void> Passage::run(std::string first) {
  const bool again = co_await ran_on_kept(first);
  if (again) co_return;
  auto connected = co_await connect();
  if (!connected) {
    co_await fail(connected.error());
    co_return;
  }
  if (context_.metering != nullptr && !context_.metering->leaves()) {
    co_await refuse(503, "held", "what this request may cost could not be written down");
    co_return;
  }
  std::string body;
  auto asked = co_await ask(std::move(first), body);
  if (!asked) {
    co_await fail(asked.error());
  } else if (*asked == Sent::all) {
    co_await answer(std::move(body));
  }
}

// False: there is no connection to use again, or it was broken and nothing came of it.
Task<bool> Passage::ran_on_kept(const std::string& first) {
  if (context_.kept == nullptr || !first.empty() || !can_be_sent_twice(exchange_.request())) co_return false;
  stream_ = std::move(*context_.kept);
  if (!stream_) co_return false;
  std::string body;
  auto asked = co_await ask("", body);
  if (asked && *asked == Sent::all) co_await answer(std::move(body));
  if (asked) co_return true;
  if (received_ || asked.error().code == Code::timeout) {
    co_await fail(asked.error());
    co_return true;
  }
  parser_ = net::ResponseParser(answers_to(exchange_.request()));
  co_return false;
}

// The request out, the head of its answer and the beginning of its body in.
Task<Result<Passage::Sent>> Passage::ask(std::string first, std::string& body) {
  auto sent = co_await send(std::move(first));
  if (!sent || *sent == Sent::refused) co_return sent;
  const auto deadline = after(context_.limits.head_timeout);
  while (!parser_.head_done()) {
    auto read = co_await read_more(body, deadline);
    if (!read) co_return tl::unexpected(std::move(read).error());
  }
  co_return Sent::all;
}

// Leaves the connection to the next request, if it has nothing left of this one.
void Passage::keep() {
  const bool reusable = sent_all_ && !surplus_ && parser_.done() && parser_.keep_alive() &&
                        context_.record.reason.empty();
  if (context_.kept != nullptr && reusable) *context_.kept = std::move(stream_);
}

Task<Result<void>> Passage::connect() {
  auto stream = co_await context_.connect();
  if (!stream) co_return tl::unexpected(std::move(stream).error());
  stream_ = std::move(*stream);
  co_return Result<void>();
}

Task<Result<void>> Passage::write_piece(std::string_view piece) {
  std::string framed;
  if (chunked_) {
    std::array<char, 20> size{};
    const auto end = std::to_chars(size.data(), size.data() + size.size(), piece.size(), 16).ptr;
    framed.assign(size.data(), end).append("\r\n").append(piece).append("\r\n");
    piece = framed;
  }
  auto written = co_await stream_->write(piece, after(context_.limits.idle_timeout));
  co_return written;
}

// The whole request. An upstream that stops reading may already have answered, so that is not yet a failure.
Task<Result<Passage::Sent>> Passage::send(std::string piece) {
  chunked_ = exchange_.request().headers.count("transfer-encoding") > 0;
  auto written = co_await stream_->write(context_.head, after(context_.limits.idle_timeout));
  const auto head_end = context_.credential != nullptr ? context_.credential->head_end() : "\r\n";
  if (written) written = co_await stream_->write(head_end, after(context_.limits.idle_timeout));
  while (written && !piece.empty()) {
    written = co_await write_piece(piece);
    if (!written) break;
    context_.record.bytes_out += piece.size();
    context_.total_bytes += piece.size();
    if (context_.total_bytes > context_.limits.total_bytes) {
      stream_->close();
      co_await refuse(403, "egress_limit", "this run has used up its traffic");
      co_return Sent::refused;
    }
    auto next = co_await exchange_.read_some();
    if (!next) {
      stream_->close();
      const auto error = std::move(next).error();
      co_await refuse(net::status_of_body_error(error), "request_body", error.message);
      co_return Sent::refused;
    }
    piece = std::move(*next);
  }
  if (written && chunked_)
    written = co_await stream_->write("0\r\n\r\n", after(context_.limits.idle_timeout));
  if (!written && written.error().code != Code::unavailable)
    co_return tl::unexpected(std::move(written).error());
  sent_all_ = written.has_value();
  co_return Sent::all;
}

Task<Result<void>> Passage::read_more(std::string& body, Deadline deadline) {
  std::array<char, read_bytes> buffer;
  auto got = co_await stream_->read_some(buffer, deadline);
  if (!got) co_return tl::unexpected(std::move(got).error());
  if (*got == 0) {
    auto finished = parser_.finish();
    if (finished && !parser_.head_done()) {
      co_return base::fail(Code::unavailable, "cannot read a response: the connection was closed");
    }
    co_return finished;
  }
  received_ = true;
  auto fed = parser_.feed(std::string_view(buffer.data(), *got), body);
  if (!fed) co_return tl::unexpected(std::move(fed).error());
  surplus_ = *fed < *got;
  co_return Result<void>();
}

std::string Passage::reason(std::string_view word) const {
  if (context_.peer == Peer::host)
    return word == "address_denied" ? std::string(word) : "host_" + std::string(word);
  return (context_.peer == Peer::mcp ? "mcp_" : "provider_") + std::string(word);
}

std::string_view Passage::echo() const {
  return context_.peer == Peer::host ? "secret_echo" : "key_echo";
}

std::string_view Passage::who() const {
  if (context_.peer == Peer::host) return "the host";
  return context_.peer == Peer::mcp ? "the MCP server" : "the model provider";
}

// Why an answer cannot be passed on at all, or "". An agent that is told 401 would ask for a login that it
// cannot have, and a place to go to instead it could not reach.
std::string Passage::refusal_of(const net::ResponseHead& head) const {
  if (context_.peer == Peer::mcp) {
    if (head.status == 401 || head.status == 403) return reason("unauthorized");
    if (head.status >= 300 && head.status < 400) return reason("redirected");
  }
  const bool searched = context_.peer != Peer::host || context_.credential != nullptr;
  // Nobody has asked for a part, which might be one of a secret.
  if (context_.credential != nullptr && context_.peer == Peer::host && is_part(head)) return reason("part");
  for (const auto& field : head.headers) {
    if (searched && net::iequals(field.name, "content-encoding") && !field.value.empty() &&
        !net::iequals(field.value, "identity"))
      return reason("encoding");
    if (filter_.occurs_in(field.name) || filter_.occurs_in(field.value)) return std::string(echo());
  }
  return "";
}

Task<void> Passage::answer(std::string body) {
  const auto& head = parser_.head();
  if (const auto why = refusal_of(head); !why.empty()) {
    stream_->close();
    co_await refuse(502, why, "the answer cannot be passed on");
    co_return;
  }
  const auto format = UsageMeter::format_of(head.headers.get("content-type"));
  const bool good = head.status >= 200 && head.status < 300;
  if (context_.peer == Peer::provider && good) meter_ = UsageMeter(format);
  if (context_.tools != nullptr && good)
    guard_.emplace(*context_.tools, format == UsageMeter::Format::events ? CallGuard::Format::events
                                                                         : CallGuard::Format::document);
  context_.record.status = head.status;
  if (context_.take != nullptr) context_.take->head(head.status, head.headers);
  if (context_.metering != nullptr) context_.metering->answered(head.status, {});
  if (head.status >= 400)
    context_.record.retry_after = retry_after_of(head.headers, base::system_clock().now());
  const bool whole = !context_.rpc_id.empty() && good && !streams();
  if (whole) {
    const bool answered = co_await answered_as_a_whole(body);
    if (answered) co_return;
  }
  auto response = downstream_head(head, context_.peer == Peer::host ? Cookies::pass : Cookies::kept_back);
  const auto length = parser_.content_length();
  if (length && !(streams() && !context_.rpc_id.empty()))
    response.headers.set("content-length", std::to_string(*length));
  auto* writer = co_await exchange_.start_stream(std::move(response));
  // An agent that leaves ends the provider's work, too.
  if (!parser_.done()) writer->on_end([stream = stream_.get()] { stream->close(); });
  co_await pass_body(*writer, std::move(body));
  writer->on_end(nullptr);
  context_.record.usage = meter_.usage();
  if (context_.metering != nullptr) context_.metering->answered(head.status, meter_.usage());
  keep();
}

// The answer is a stream of events.
bool Passage::streams() const {
  return UsageMeter::format_of(parser_.head().headers.get("content-type")) == UsageMeter::Format::events;
}

// A short answer of an MCP server passes as a whole or becomes an error that its client understands. False:
// it is too long for that, and `body` is what came of it.
Task<bool> Passage::answered_as_a_whole(std::string& body) {
  auto filter = filter_;
  auto& record = context_.record;
  while (!parser_.done()) {
    if (body.size() > kept_answer_bytes) co_return false;
    auto read = co_await read_more(body, after(context_.limits.idle_timeout));
    if (!read) {
      record.reason = reason(trouble_of(read.error()).word);
      break;
    }
  }
  record.bytes_in += body.size();
  context_.total_bytes += body.size();
  std::string clean;
  const bool found = filter.feed(body, clean) == KeyFilter::Verdict::found ||
                     filter.finish(clean) == KeyFilter::Verdict::found;
  if (found) record.reason = echo();
  stream_->close();
  auto response = downstream_head(parser_.head(), Cookies::kept_back);
  if (!record.reason.empty()) {
    clean = mcp_error(context_.rpc_id, "the answer cannot be passed on: " + record.reason);
    response.headers.set("content-type", "application/json");
  }
  response.body = std::move(clean);
  co_await exchange_.respond(std::move(response));
  co_return true;
}

Task<void> Passage::pass_body(net::StreamWriter& writer, std::string body) {
  for (;;) {
    if (!body.empty()) {
      const bool passed = co_await pass_piece(writer, body);
      if (!passed) break;
      body.clear();
    }
    if (parser_.done()) {
      std::string out;
      if (!take_end(out)) break;
      if (context_.take != nullptr) {
        context_.take->piece(out);
        context_.take->finish();
      }
      if (!out.empty()) std::ignore = co_await writer.write(out);
      co_return;
    }
    auto read = co_await read_more(body, after(context_.limits.idle_timeout));
    if (!read) {
      context_.record.reason = writer.ended() ? "agent_left" : reason(trouble_of(read.error()).word);
      break;
    }
  }
  co_await cut(writer);
}

// What of a piece may pass; why nothing more may is in the record then.
void Passage::take(std::string_view piece, std::string& out) {
  std::string searched;
  if (filter_.feed(piece, searched) == KeyFilter::Verdict::found) context_.record.reason = echo();
  if (!guard_) {
    out += searched;
  } else if (!guard_->feed(searched, out)) {
    context_.record.reason = "ungated_tool_call";
    context_.record.tool = guard_->called();
  }
}

// The same at the end, for what was held back. False when it may not pass.
bool Passage::take_end(std::string& out) {
  std::string searched;
  if (filter_.finish(searched) == KeyFilter::Verdict::found) context_.record.reason = echo();
  if (!guard_) {
    out += searched;
  } else if (!guard_->feed(searched, out) || !guard_->finish(out)) {
    context_.record.reason = "ungated_tool_call";
    context_.record.tool = guard_->called();
  }
  return context_.record.reason.empty();
}

// A client of an MCP server that has the beginning of an answer would wait for its end: it gets an error in
// its place. Anybody else is shown a connection that is cut.
Task<void> Passage::cut(net::StreamWriter& writer) {
  context_.record.usage = meter_.usage();
  stream_->close();
  const auto& why = context_.record.reason;
  if (context_.rpc_id.empty() || !streams() || why == "agent_left" || why == "response_too_large") {
    writer.abort();
    co_return;
  }
  // What came before may be the beginning of an event.
  const auto error =
      "\n\nevent: message\ndata: " + mcp_error(context_.rpc_id, "the answer cannot be passed on: " + why) +
      "\n\n";
  std::ignore = co_await writer.write(error);
}

// False when the rest must not or cannot be sent.
Task<bool> Passage::pass_piece(net::StreamWriter& writer, std::string_view piece) {
  auto& record = context_.record;
  record.bytes_in += piece.size();
  context_.total_bytes += piece.size();
  meter_.feed(piece);
  std::string out;
  take(piece, out);
  if (context_.take != nullptr) context_.take->piece(out);
  if (record.reason.empty() && record.bytes_in > context_.limits.response_bytes) {
    record.reason = "response_too_large";
    out.clear();
  } else if (context_.total_bytes > context_.limits.total_bytes) {
    record.reason = "egress_limit";
  } else if (context_.metering != nullptr && !context_.metering->receives(meter_)) {
    record.reason = "limit_exceeded";
  }
  if (!out.empty()) {
    const bool written = co_await writer.write(out);
    if (!written && record.reason.empty()) record.reason = "agent_left";
  }
  co_return record.reason.empty();
}

Task<void> Passage::fail(const base::Error& error) {
  const auto trouble = trouble_of(error);
  if (stream_) stream_->close();
  co_await refuse(trouble.status, reason(trouble.word), std::string(who()) + " cannot be reached: " + error.message);
}

Task<void> Passage::refuse(int status, std::string_view reason, std::string_view message) {
  context_.record.status = status;
  context_.record.reason = reason;
  co_await exchange_.respond(error_response(status, reason, message));
}

}  // namespace

ForwardLimits limits_of(const Config& config) {
  return {config.response_bytes, config.total_bytes, config.head_timeout, config.idle_timeout};
}

Task<void> forward(Forward context, net::Exchange& exchange, std::string first) {
  Passage passage(std::move(context), exchange);
  co_await passage.run(std::move(first));
}

}  // namespace agentrouter::egress
