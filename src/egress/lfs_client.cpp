#include "egress/lfs_client.h"

#include <algorithm>

namespace agentrouter::egress {

using base::Code;
using base::Result;
using base::Task;

namespace {

constexpr std::size_t lfs_piece_bytes = 64 * 1024;
constexpr std::uint64_t most_batch_answer = 4ull << 20;
constexpr std::string_view lfs_type = "application/vnd.git-lfs+json";

base::Deadline within(std::chrono::milliseconds duration) {
  return base::SteadyClock::now() + duration;
}

tl::unexpected<base::Error> bad_batch(const std::string& what) {
  return base::fail(Code::corrupt, "the server's answer about LFS objects cannot be used: " + what);
}

bool is_field(std::string_view name, std::string_view value) {
  const auto is_token = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  return !name.empty() && name.size() <= 128 && value.size() <= 16 * 1024 &&
         std::all_of(name.begin(), name.end(), is_token) &&
         std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c < 0x7f; });
}

// What an action asks to be sent; what frames the request is ours.
Result<net::Headers> headers_of(const json::object& action) {
  net::Headers headers;
  const auto* all = base::get_object(action, "header");
  if (all == nullptr) return headers;
  for (const auto& [key, value] : *all) {
    const std::string name(key.data(), key.size());
    const auto* text = value.if_string();
    if (text == nullptr || !is_field(name, *text)) return bad_batch("a header");
    const bool ours = net::iequals(name, "host") || net::iequals(name, "connection") ||
                      net::iequals(name, "content-length") || net::iequals(name, "transfer-encoding") ||
                      net::iequals(name, "accept-encoding");
    if (!ours) headers.add(name, std::string(text->data(), text->size()));
  }
  return headers;
}

Result<LfsSource> source_of(const json::object& answer, const LfsObject& object) {
  if (const auto* error = base::get_object(answer, "error")) {
    return base::fail(Code::not_found, "the server does not give the LFS object " + object.oid + ": " +
                                           std::string(base::get_string(*error, "message").value_or("")));
  }
  const auto* actions = base::get_object(answer, "actions");
  const auto* action = actions ? base::get_object(*actions, "download") : nullptr;
  const auto href = action ? base::get_string(*action, "href") : std::nullopt;
  if (!href) return bad_batch("no place for " + object.oid);
  auto url = net::parse_url(*href);
  if (!url) return bad_batch(url.error().message);
  AGENTROUTER_TRY(auto headers, headers_of(*action));
  return LfsSource{object, std::move(*url), std::move(headers)};
}

}  // namespace

net::Url lfs_batch_url(const net::Url& repository) {
  auto url = repository;
  while (url.path.size() > 1 && url.path.back() == '/') url.path.pop_back();
  url.path += std::string(url.path.ends_with(".git") ? "" : ".git") + "/info/lfs/objects/batch";
  url.query.clear();
  return url;
}

std::string lfs_batch_body(const std::vector<LfsObject>& objects) {
  json::array all;
  for (const auto& object : objects) all.push_back(json::object{{"oid", object.oid}, {"size", object.size}});
  return base::to_text(json::object{{"operation", "download"},
                                    {"transfers", json::array{"basic"}},
                                    {"objects", std::move(all)},
                                    {"hash_algo", "sha256"}});
}

Result<std::vector<LfsSource>> read_lfs_batch(std::string_view text, const std::vector<LfsObject>& objects) {
  const auto document = base::parse_json(text, {.max_depth = 16, .max_bytes = most_batch_answer});
  const auto* object = document ? document->if_object() : nullptr;
  const auto* answers = object ? base::get_array(*object, "objects") : nullptr;
  if (answers == nullptr || base::get_string(*object, "transfer").value_or("basic") != "basic")
    return bad_batch("no list of objects");
  std::vector<LfsSource> sources;
  for (const auto& wanted : objects) {
    const auto found = std::find_if(answers->begin(), answers->end(), [&](const json::value& one) {
      return one.is_object() && base::get_string(one.get_object(), "oid") == wanted.oid;
    });
    if (found == answers->end()) return bad_batch("nothing about " + wanted.oid);
    AGENTROUTER_TRY(auto source, source_of(found->get_object(), wanted));
    sources.push_back(std::move(source));
  }
  return sources;
}

LfsClient::Place LfsClient::place_of(const net::Url& url) const {
  const auto& own = config_.repository;
  const bool same = url.scheme == own.scheme && url.host == own.host && url.port == own.port;
  return same ? Place::own_server : Place::elsewhere;
}

Task<Result<std::unique_ptr<net::Stream>>> LfsClient::connect(const net::Url& url) {
  const auto place = place_of(url);
  const auto deadline = within(config_.connect_timeout);
  if (place == Place::elsewhere) {
    const auto& hosts = config_.https_hosts;
    const bool listed = std::find(hosts.begin(), hosts.end(), url.authority()) != hosts.end();
    if (url.scheme != net::Scheme::https || (!hosts.empty() && !listed)) {
      co_return base::fail(Code::denied, "LFS objects at " + url.authority() +
                                             " may not be fetched: not https, or not listed");
    }
    if (config_.tls == nullptr) co_return base::fail(Code::denied, "https is not set up for LFS objects");
    const auto reach = listed ? net::Reach::anywhere : net::Reach::public_only;
    co_return co_await net::connect_tls(url.host, url.port, *config_.tls, deadline, reach);
  }
  if (url.scheme == net::Scheme::https)
    co_return co_await net::connect_tls(url.host, url.port, *config_.tls, deadline, config_.reach);
  co_return co_await net::connect_tcp(url.host, url.port, deadline, config_.reach);
}

// The credential goes only to the repository's own server, and not beside another one.
Task<Result<void>> LfsClient::send(net::Stream& stream, const net::Url& url, net::ClientRequest request) {
  const bool with_credential = config_.credential != nullptr && place_of(url) == Place::own_server &&
                               request.headers.count("authorization") == 0;
  const std::string body = std::exchange(request.body, {});
  request.target = url.target();
  request.headers.add("Host", url.authority());
  request.headers.add("user-agent", "agentrouter");
  request.headers.add("accept-encoding", "identity");
  request.headers.add("connection", "close");
  if (!body.empty()) request.headers.add("content-length", std::to_string(body.size()));
  auto head = net::request_head(request);
  head.resize(head.size() - std::string_view("\r\n").size());
  auto written = co_await stream.write(head, within(config_.idle_timeout));
  if (written && with_credential) {
    written = co_await stream.write("authorization: Basic ", within(config_.idle_timeout));
    if (written) written = co_await stream.write(config_.credential->view(), within(config_.idle_timeout));
    if (written) written = co_await stream.write("\r\n", within(config_.idle_timeout));
  }
  if (written) written = co_await stream.write("\r\n", within(config_.idle_timeout));
  if (written && !body.empty()) written = co_await stream.write(body, within(config_.idle_timeout));
  co_return written;
}

// Some more of the answer.
Task<Result<void>> LfsClient::read(net::Stream& stream, net::ResponseParser& parser, std::string& body) {
  std::string buffer(lfs_piece_bytes, '\0');
  const std::span<char> into(buffer);
  auto got = co_await stream.read_some(into, within(config_.idle_timeout));
  if (!got) co_return tl::unexpected(std::move(got).error());
  if (*got == 0) {
    if (!parser.head_done()) co_return base::fail(Code::unavailable, "the server closed the connection");
    co_return parser.finish();
  }
  auto fed = parser.feed(std::string_view(buffer).substr(0, *got), body);
  if (!fed) co_return tl::unexpected(std::move(fed).error());
  co_return Result<void>();
}

Task<Result<std::vector<LfsSource>>> LfsClient::batch(std::vector<LfsObject> objects) {
  const auto url = lfs_batch_url(config_.repository);
  auto stream = co_await connect(url);
  if (!stream) co_return tl::unexpected(std::move(stream).error());
  net::ClientRequest request;
  request.method = "POST";
  request.headers.add("accept", std::string(lfs_type));
  request.headers.add("content-type", std::string(lfs_type));
  request.body = lfs_batch_body(objects);
  auto done = co_await send(**stream, url, std::move(request));
  net::ResponseParser parser(net::Answers::other, {.body_bytes = most_batch_answer});
  std::string body;
  while (done && !parser.done()) done = co_await read(**stream, parser, body);
  (*stream)->close();
  if (!done) co_return tl::unexpected(std::move(done).error());
  const int status = parser.head().status;
  const auto at = url.authority();
  if (status == 401 || status == 403)
    co_return base::fail(Code::denied, at + " answered " + std::to_string(status), "unauthorized");
  if (status != 200)
    co_return base::fail(Code::unavailable,
                         at + " answered " + std::to_string(status) + " about LFS objects");
  co_return read_lfs_batch(body, objects);
}

Task<Result<void>> LfsClient::download(const LfsSource& source, const Take& take) {
  auto stream = co_await connect(source.url);
  if (!stream) co_return tl::unexpected(std::move(stream).error());
  net::ClientRequest request;
  request.headers = source.headers;
  auto done = co_await send(**stream, source.url, std::move(request));
  net::ResponseParser parser(net::Answers::other, {.body_bytes = source.object.size});
  std::string body;
  std::uint64_t seen = 0;
  const auto wrong = [&] { return parser.head_done() && parser.head().status != 200; };
  while (done && !parser.done() && !wrong()) {
    done = co_await read(**stream, parser, body);
    if (!done || wrong() || body.empty()) continue;
    seen += body.size();
    done = co_await take(body);
    body.clear();
  }
  (*stream)->close();
  if (!done) co_return tl::unexpected(std::move(done).error());
  if (wrong()) {
    co_return base::fail(Code::unavailable, source.url.authority() + " answered " +
                                                std::to_string(parser.head().status) +
                                                " about an LFS object");
  }
  if (seen != source.object.size)
    co_return base::fail(Code::corrupt, "the LFS object " + source.object.oid + " has another size");
  co_return Result<void>();
}

}  // namespace agentrouter::egress
