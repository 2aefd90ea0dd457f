#include "egress/git_gate.h"

#include <array>
#include <charconv>

#include "egress/route.h"

namespace agentrouter::egress {

using base::Result;
using base::Task;

namespace {

constexpr std::size_t piece_bytes = 64 * 1024;
constexpr std::uint64_t most_request_bytes = 64ull << 20;
constexpr int most_redirects = 3;
constexpr std::string_view refs_suffix = "/info/refs";
constexpr std::string_view refs_query = "service=git-upload-pack";
constexpr std::string_view pack_suffix = "/git-upload-pack";

base::Deadline in(std::chrono::milliseconds duration) {
  return base::SteadyClock::now() + duration;
}

net::Response plain(int status, std::string_view text) {
  net::Response response;
  response.status = status;
  response.headers.add("content-type", "text/plain");
  response.body = std::string(text) + "\n";
  return response;
}

net::ServerOptions gate_options() {
  net::ServerOptions options;
  options.max_connections = 16;
  options.body_bytes = most_request_bytes;
  return options;
}

std::string path_of(const net::Url& url) {
  std::string path = url.path;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::string as_chunk(const std::string& piece) {
  std::array<char, 20> size{};
  const auto end = std::to_chars(size.data(), size.data() + size.size(), piece.size(), 16).ptr;
  return std::string(size.data(), end).append("\r\n").append(piece).append("\r\n");
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

// One request on its way to the server and its answer on the way back.
class GitGate::Passage {
 public:
  Passage(GitGate& gate, net::Exchange& exchange, std::string_view suffix)
      : gate_(gate), exchange_(exchange), suffix_(suffix) {}

  Task<void> run();

 private:
  Task<Result<void>> connect();
  Task<Result<void>> send();
  Task<Result<void>> read_head();
  Task<Result<void>> read_more();
  bool follow();
  Task<void> answer();
  Task<void> pass_body(net::StreamWriter& writer);
  bool judge(int status);
  std::string head() const;

  GitGate& gate_;
  net::Exchange& exchange_;
  std::string_view suffix_;
  std::unique_ptr<net::Stream> stream_;
  net::ResponseParser parser_;
  std::string body_;
};

GitGate::GitGate(base::Executor executor, GitGateConfig config)
    : config_(std::move(config)),
      path_(path_of(config_.repository)),
      target_(config_.repository),
      server_(
          executor, *this, [](const net::ServerError& error) { return plain(error.status, error.message); },
          gate_options()) {
  target_.path = path_;
}

Task<void> GitGate::stop() {
  co_await server_.stop(base::SteadyClock::now());
}

Task<void> GitGate::handle(net::Exchange& exchange) {
  const auto& request = exchange.request();
  std::string_view suffix;
  if (request.method == "GET" &&
      request.target == path_ + std::string(refs_suffix) + "?" + std::string(refs_query))
    suffix = refs_suffix;
  if (request.method == "POST" && request.target == path_ + std::string(pack_suffix)) suffix = pack_suffix;
  if (suffix.empty()) {
    note(GitTrouble::refused, "something other than the repository was asked for");
    co_await exchange.respond(plain(403, "only this repository can be read from here"));
    co_return;
  }
  Passage passage(*this, exchange, suffix);
  co_await passage.run();
}

Task<void> GitGate::Passage::run() {
  for (int redirects = 0;; ++redirects) {
    parser_ = net::ResponseParser();
    body_.clear();
    auto done = co_await connect();
    if (done) done = co_await send();
    if (done) done = co_await read_head();
    if (!done) {
      if (stream_) stream_->close();
      gate_.note(GitTrouble::unreachable, done.error().message);
      co_await exchange_.respond(plain(502, "the server cannot be reached"));
      co_return;
    }
    if (redirects == most_redirects || !follow()) break;
    stream_->close();
  }
  co_await answer();
  stream_->close();
}

Task<Result<void>> GitGate::Passage::connect() {
  const auto deadline = in(gate_.config_.connect_timeout);
  const auto& to = gate_.target_;
  if (to.scheme == net::Scheme::https) {
    auto stream = co_await net::connect_tls(to.host, to.port, *gate_.config_.tls, deadline, gate_.config_.reach);
    if (!stream) co_return tl::unexpected(std::move(stream).error());
    stream_ = std::move(*stream);
  } else {
    auto stream = co_await net::connect_tcp(to.host, to.port, deadline, gate_.config_.reach);
    if (!stream) co_return tl::unexpected(std::move(stream).error());
    stream_ = std::move(*stream);
  }
  co_return Result<void>();
}

// Up to where the credential follows.
std::string GitGate::Passage::head() const {
  net::ClientRequest out;
  const auto& request = exchange_.request();
  out.method = request.method;
  out.target = gate_.target_.path + std::string(suffix_);
  if (suffix_ == refs_suffix) out.target += "?" + std::string(refs_query);
  out.headers.add("Host", gate_.target_.authority());
  for (const char* name : {"user-agent", "accept", "content-type", "content-encoding", "git-protocol"}) {
    if (const auto value = request.headers.find(name)) out.headers.add(name, std::string(*value));
  }
  out.headers.add("accept-encoding", "identity");
  out.headers.add("connection", "close");
  if (request.method == "POST") {
    const auto length = request.headers.find("content-length");
    out.headers.add(length ? "content-length" : "transfer-encoding", std::string(length.value_or("chunked")));
  }
  auto text = net::request_head(out);
  text.resize(text.size() - std::string_view("\r\n").size());
  return text;
}

Task<Result<void>> GitGate::Passage::send() {
  const auto idle = gate_.config_.idle_timeout;
  const auto begin = head();
  auto written = co_await stream_->write(begin, in(idle));
  if (written && gate_.config_.credential != nullptr) {
    written = co_await stream_->write("authorization: Basic ", in(idle));
    if (written) written = co_await stream_->write(gate_.config_.credential->view(), in(idle));
    if (written) written = co_await stream_->write("\r\n", in(idle));
  }
  if (written) written = co_await stream_->write("\r\n", in(idle));
  if (exchange_.request().method != "POST") co_return written;
  const bool chunked = exchange_.request().headers.count("content-length") == 0;
  while (written) {
    const auto piece = co_await exchange_.read_some();
    if (!piece) co_return tl::unexpected(piece.error());
    const std::string bytes = chunked ? as_chunk(*piece) : *piece;
    if (!bytes.empty()) written = co_await stream_->write(bytes, in(idle));
    if (piece->empty()) break;
  }
  // A server that stops reading may have answered already.
  if (!written && written.error().code == base::Code::unavailable) co_return Result<void>();
  co_return written;
}

Task<Result<void>> GitGate::Passage::read_more() {
  std::string buffer(piece_bytes, '\0');
  const std::span<char> into(buffer);
  auto got = co_await stream_->read_some(into, in(gate_.config_.idle_timeout));
  if (!got) co_return tl::unexpected(got.error());
  if (*got == 0) {
    if (!parser_.head_done())
      co_return base::fail(base::Code::unavailable, "the server closed the connection");
    co_return parser_.finish();
  }
  const auto fed = parser_.feed(std::string_view(buffer).substr(0, *got), body_);
  if (!fed) co_return tl::unexpected(fed.error());
  co_return Result<void>();
}

Task<Result<void>> GitGate::Passage::read_head() {
  while (!parser_.head_done()) {
    auto read = co_await read_more();
    if (!read) co_return read;
  }
  co_return Result<void>();
}

// True when the same request goes to another path of the same server, from now on for the whole repository.
bool GitGate::Passage::follow() {
  const auto& answer = parser_.head();
  if (!is_redirect(answer.status) || suffix_ != refs_suffix) return false;
  const auto wanted = std::string(refs_suffix);
  const std::string text(answer.headers.get("location"));
  auto to = net::parse_url(text.starts_with('/') ? "http://same" + text : text);
  if (!to) return false;
  if (text.starts_with('/')) {
    to->scheme = gate_.target_.scheme;
    to->host = gate_.target_.host;
    to->port = gate_.target_.port;
  }
  const bool same = to->host == gate_.target_.host &&
                    ((to->scheme == gate_.target_.scheme && to->port == gate_.target_.port) ||
                     (to->scheme == net::Scheme::https && to->port == 443 && gate_.config_.tls != nullptr));
  if (!same || to->query != refs_query || !to->path.ends_with(wanted)) return false;
  to->path.resize(to->path.size() - wanted.size());
  to->query.clear();
  gate_.target_ = std::move(*to);
  return true;
}

// Notes what is wrong with it; false when it is not an answer that git can use.
bool GitGate::Passage::judge(int status) {
  const auto at = gate_.target_.host;
  if (status == 401 || status == 403) {
    gate_.note(GitTrouble::unauthorized, at + " answered " + std::to_string(status));
  } else if (status == 404) {
    gate_.note(GitTrouble::not_found, at + " has no such repository, or does not show it");
  } else if (is_redirect(status)) {
    gate_.note(GitTrouble::redirected, at + " redirects to another place");
  } else if (status != 200) {
    gate_.note(GitTrouble::unreachable, at + " answered " + std::to_string(status));
  } else {
    gate_.note(GitTrouble::none, {});
    return true;
  }
  return false;
}

Task<void> GitGate::Passage::answer() {
  const int status = parser_.head().status;
  if (!judge(status)) {
    co_await exchange_.respond(plain(status == 404 ? 404 : 403, "the server does not give the repository"));
    co_return;
  }
  auto response = downstream_head(parser_.head(), Cookies::kept_back);
  response.headers.remove("www-authenticate");
  auto* writer = co_await exchange_.start_stream(std::move(response));
  writer->on_end([stream = stream_.get()] { stream->close(); });
  co_await pass_body(*writer);
  writer->on_end(nullptr);
}

Task<void> GitGate::Passage::pass_body(net::StreamWriter& writer) {
  for (;;) {
    gate_.bytes_ += body_.size();
    if (gate_.bytes_ > gate_.config_.response_bytes) {
      gate_.note(GitTrouble::too_large,
                 "the repository is larger than " + std::to_string(gate_.config_.response_bytes) + " bytes");
      break;
    }
    if (!body_.empty()) {
      const bool passed = co_await writer.write(body_);
      if (!passed) break;
      body_.clear();
    }
    if (parser_.done()) co_return;
    const auto read = co_await read_more();
    if (!read) {
      if (!writer.ended()) gate_.note(GitTrouble::unreachable, read.error().message);
      break;
    }
  }
  writer.abort();
}

}  // namespace agentrouter::egress
