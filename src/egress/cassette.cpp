#include "egress/cassette.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/ascii.h"
#include "base/hmac.h"
#include "base/utf8.h"
#include "egress/canonical_body.h"
#include "egress/stream_secrets.h"

namespace agentrouter::egress {
namespace {

using base::Code;
using base::fail;
using base::Result;

constexpr std::size_t cassette_line_bytes = 64u << 20;
constexpr base::JsonLimits line_limits{.max_depth = 136, .max_bytes = cassette_line_bytes};
// What of an answer's head an agent looks at.
constexpr std::array<std::string_view, 4> kept_fields{"content-type", "retry-after", "request-id", "x-request-id"};
// Limits of the provider, which agents show.
constexpr std::array<std::string_view, 3> kept_prefixes{"x-ratelimit-", "anthropic-ratelimit-", "x-codex-"};

bool is_kept(std::string_view name) {
  return std::ranges::find(kept_fields, name) != kept_fields.end() ||
         std::ranges::any_of(kept_prefixes, [&](std::string_view prefix) { return name.starts_with(prefix); });
}

// The events of a stream one by one, each with the empty line behind it; anything else as a whole.
std::vector<std::string_view> pieces_of(std::string_view body, bool is_stream) {
  std::vector<std::string_view> pieces;
  while (is_stream && !body.empty()) {
    const auto end = body.find("\n\n");
    const auto size = end == std::string_view::npos ? body.size() : end + 2;
    pieces.push_back(body.substr(0, size));
    body.remove_prefix(size);
  }
  if (!body.empty()) pieces.push_back(body);
  return pieces;
}

// What is no UTF-8 is replaced only when secrets, which may have such bytes, are out.
std::string redacted_text(std::string_view bytes, const base::Redactor& redactor) {
  std::string text(bytes);
  redactor.clean(text, base::Redactor::Text::plain);
  return base::to_utf8(text);
}

// As it came, where a number may be one, and written anew, where nothing is escaped that need not be: also
// when there is nothing to hide, so that a replay without secrets asks the same.
std::string redacted_body(std::string_view body, const base::Redactor& redactor) {
  std::string text(body);
  if (!base::parse_json(text, line_limits)) {
    redactor.clean(text, base::Redactor::Text::plain);
    return text;
  }
  redactor.clean(text, base::Redactor::Text::json);
  if (const auto value = base::parse_json(text, line_limits)) {
    text = base::to_text(*value);
    redactor.clean(text, base::Redactor::Text::json);
  }
  return text;
}

tl::unexpected<base::Error> bad_line(std::size_t number, std::string_view why) {
  return fail(Code::invalid, "line " + std::to_string(number) + " of the cassette " + std::string(why), "malformed");
}

}  // namespace

AskedRequest asked_request(std::string_view method, std::string_view path, std::string_view body,
                           const base::Redactor& redactor) {
  auto canonical = base::to_text(canonical_body(redacted_body(body, redactor)));
  redactor.clean(canonical, base::Redactor::Text::json);
  auto value = base::parse_json(canonical, line_limits);
  return {base::to_utf8(method), redacted_text(path, redactor),
          value ? std::move(*value) : json::value(canonical)};
}

CassetteWriter::CassetteWriter(int file, const CassetteLabel& label, const base::Redactor& redactor)
    : file_(file), redactor_(redactor) {
  line({{"cassette", cassette_version}, {"runtime", label.runtime}, {"model", label.model}});
}

std::unique_ptr<CassetteWriter::Take> CassetteWriter::begin(std::string_view method, std::string_view path,
                                                            std::string_view body) {
  auto asked = asked_request(method, path, body, redactor_);
  auto exchange = std::make_unique<Exchange>();
  exchange->request = {{"request", ++begun_}, {"method", asked.method}, {"path", asked.path}, {"body", std::move(asked.body)}};
  open_.push_back(std::move(exchange));
  return std::make_unique<Take>(*this, begun_);
}

CassetteWriter::Take::~Take() {
  writer_.over(number_);
}

void CassetteWriter::Take::head(int status, const net::Headers& headers) {
  auto& exchange = *writer_.open_[number_ - 1 - writer_.written_];
  exchange.status = status;
  for (const auto& field : headers) {
    const std::string name = base::ascii_lower(std::string_view(field.name));
    if (is_kept(name) && !writer_.redactor_.occurs_in(field.name))
      exchange.headers[name] = redacted_text(field.value, writer_.redactor_);
  }
  exchange.is_stream = headers.get("content-type").starts_with("text/event-stream");
}

void CassetteWriter::Take::piece(std::string_view bytes) {
  auto& body = writer_.open_[number_ - 1 - writer_.written_]->body;
  if (body.size() + bytes.size() > cassette_line_bytes / 2) {
    writer_.trouble_ = base::Error{Code::exhausted, "an answer is too long for a cassette", "too_large"};
  } else {
    body += bytes;
  }
}

void CassetteWriter::Take::finish() {
  writer_.open_[number_ - 1 - writer_.written_]->finished = true;
}

void CassetteWriter::over(std::size_t number) {
  open_[number - 1 - written_]->over = true;
  while (!open_.empty() && open_.front()->over) {
    write(*open_.front());
    open_.erase(open_.begin());
    ++written_;
  }
}

// What only looks like a secret once it is base64 is left out whole: it could not be read any more.
std::string CassetteWriter::encoded(std::string_view piece) const {
  auto text = base::to_base64(piece);
  auto cleaned = text;
  redactor_.clean(cleaned, base::Redactor::Text::json);
  return cleaned == text ? text : base::to_base64("[REDACTED]");
}

void CassetteWriter::write(Exchange& exchange) {
  line(exchange.request);
  if (exchange.is_stream) exchange.body = without_split_secrets(std::move(exchange.body), redactor_);
  json::array pieces;
  const bool is_text = base::is_utf8(exchange.body);
  // In base64 nothing can take the place of a secret.
  if (!is_text) redactor_.clean(exchange.body, base::Redactor::Text::plain);
  for (const auto piece : pieces_of(exchange.body, exchange.is_stream && is_text))
    pieces.push_back(json::string(is_text ? std::string(piece) : encoded(piece)));
  json::object answer{{"answer", exchange.request.at("request")},
                      {"status", exchange.status},
                      {"headers", exchange.headers},
                      {is_text ? "pieces" : "base64", std::move(pieces)}};
  if (!exchange.finished) answer["cut"] = true;
  line(answer);
}

void CassetteWriter::line(const json::object& object) {
  if (trouble_) return;
  std::string text = base::to_text(object);
  redactor_.clean(text, base::Redactor::Text::json);
  text += '\n';
  bytes_ += text.size();
  if (bytes_ > cassette_bytes || begun_ > cassette_requests) {
    trouble_ = base::Error{Code::exhausted, "the run asks for more than a cassette holds", "too_large"};
    return;
  }
  if (auto written = base::write_all(file_, text); !written) trouble_ = std::move(written).error();
}

Result<void> CassetteWriter::end() {
  line({{"end", begun_}});
  if (!trouble_ && ::fsync(file_) != 0) return base::fail_errno("cannot write the cassette", errno);
  if (trouble_) return tl::unexpected(*trouble_);
  return {};
}

Result<Cassette> Cassette::read(int file) {
  struct stat info{};
  if (::fstat(file, &info) != 0) return base::fail_errno("cannot read the cassette", errno);
  if (static_cast<std::uint64_t>(info.st_size) > cassette_bytes)
    return fail(Code::exhausted, "the cassette is over 256 MiB", "too_large");
  AGENTROUTER_TRY(const std::string text, base::read_all(file, cassette_bytes));
  Cassette cassette;
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = text.find('\n', begin);
    ++number;
    if (end == std::string::npos) break;
    const auto value = base::parse_json(std::string_view(text).substr(begin, end - begin), line_limits);
    if (!value || !value->is_object()) return bad_line(number, "is no JSON object");
    auto taken = cassette.take(value->get_object(), number);
    if (!taken) return tl::unexpected(std::move(taken).error());
    begin = end + 1;
  }
  if (!cassette.ended_)
    return fail(Code::invalid, "the cassette ends before its last line: its recording was not completed",
                "ended_early");
  return cassette;
}

Result<void> Cassette::take(const json::object& line, std::size_t number) {
  if (number == 1) {
    const auto version = base::get_int(line, "cassette");
    if (!version) return bad_line(number, "does not say that this is one");
    if (*version != cassette_version)
      return fail(Code::invalid,
                  "the cassette is of version " + std::to_string(*version) + "; this program reads version " +
                      std::to_string(cassette_version) + ": record it again",
                  "version");
    label_ = {std::string(base::get_string(line, "runtime").value_or("")),
              std::string(base::get_string(line, "model").value_or(""))};
    return {};
  }
  if (ended_) return bad_line(number, "comes after the last one");
  auto taken = line.contains("request") ? take_request(line) : line.contains("answer") ? take_answer(line) : Result<void>();
  if (!taken) return bad_line(number, taken.error().message);
  if (line.contains("request") || line.contains("answer")) return {};
  const auto end = base::get_int(line, "end");
  if (!end || !answered_ || static_cast<std::size_t>(*end) != exchanges_.size())
    return bad_line(number, "is neither a request, nor an answer, nor the right end");
  ended_ = true;
  return {};
}

Result<void> Cassette::take_request(const json::object& line) {
  const auto bad = [](const char* why) { return fail(Code::invalid, why); };
  const auto method = base::get_string(line, "method");
  const auto path = base::get_string(line, "path");
  const auto* body = line.if_contains("body");
  const auto number = base::get_int(line, "request");
  if (!answered_ || !method || !path || body == nullptr || !number) return bad("is no request in its place");
  if (static_cast<std::size_t>(*number) != exchanges_.size() + 1) return bad("has another number than its place");
  exchanges_.push_back({.request = {std::string(*method), std::string(*path), *body}, .reply = {}});
  answered_ = false;
  return {};
}

Result<void> Cassette::take_answer(const json::object& line) {
  const auto bad = [](const char* why) { return fail(Code::invalid, why); };
  const auto status = base::get_int(line, "status");
  const auto* headers = base::get_object(line, "headers");
  const auto* text = base::get_array(line, "pieces");
  const auto* encoded = base::get_array(line, "base64");
  if (answered_ || !status || *status < 0 || *status > 599 || headers == nullptr || (text == nullptr) == (encoded == nullptr))
    return bad("is no answer in its place");
  auto& reply = exchanges_.back().reply;
  // 0: the provider was lost before it said anything.
  reply.status = *status == 0 ? 502 : static_cast<int>(*status);
  reply.ending = base::get_bool(line, "cut").value_or(false) ? sim::Ending::cut : sim::Ending::complete;
  for (const auto& field : *headers) {
    if (!field.value().is_string()) return bad("has a header that is no text");
    reply.headers.push_back({std::string(field.key()), std::string(field.value().get_string())});
  }
  for (const auto& piece : text != nullptr ? *text : *encoded) {
    const auto* bytes = piece.if_string();
    auto decoded = bytes == nullptr ? std::nullopt
                   : text != nullptr ? std::optional(std::string(*bytes))
                                     : base::from_base64(*bytes);
    if (!decoded) return bad("has a piece that cannot be read");
    reply.chunks.push_back({.delay = {}, .bytes = std::move(*decoded)});
  }
  answered_ = true;
  return {};
}

CassettePlayer::CassettePlayer(Cassette cassette, const base::Redactor& redactor,
                               std::function<void(const ReplayMismatch&)> on_mismatch)
    : cassette_(std::move(cassette)),
      redactor_(redactor),
      on_mismatch_(std::move(on_mismatch)),
      used_(cassette_.exchanges().size()) {}

sim::Reply CassettePlayer::answer(std::string_view method, std::string_view path, std::string_view body) {
  auto asked = asked_request(method, path, body, redactor_);
  const auto& all = cassette_.exchanges();
  for (std::size_t at = next_, seen = 0; at < all.size() && seen < ahead && !broken_; ++at) {
    if (used_[at]) continue;
    ++seen;
    const auto& request = all[at].request;
    if (request.method != asked.method || request.path != asked.path || request.body != asked.body) continue;
    used_[at] = true;
    ++answered_;
    while (next_ < all.size() && used_[next_]) ++next_;
    return all[at].reply;
  }
  if (!std::exchange(broken_, true)) {
    // The likeliest one that was meant: the first of the same path.
    std::size_t meant = next_;
    while (meant < all.size() && (used_[meant] || all[meant].request.path != asked.path)) ++meant;
    if (meant == all.size()) meant = next_;
    ReplayMismatch mismatch{.number = answered_ + 1, .asked = std::move(asked), .expected = std::nullopt};
    if (meant < all.size()) mismatch.expected = all[meant].request;
    on_mismatch_(mismatch);
  }
  sim::Reply refusal;
  refusal.status = 400;
  refusal.headers.push_back({"content-type", "application/json"});
  refusal.chunks.push_back({.delay = {},
                            .bytes = base::to_text(json::object{
                                {"type", "error"},
                                {"error", json::object{{"type", "invalid_request_error"},
                                                       {"code", "replay_mismatch"},
                                                       {"message", "the cassette has no answer to this request"}}}})});
  return refusal;
}

}  // namespace agentrouter::egress
