#include "egress/own_request.h"

#include <array>

namespace agentrouter::egress {

namespace {

using base::Code;

constexpr std::size_t answer_bytes = 1u << 20;

// Without the empty line at its end: the credential follows.
std::string head_of(const net::Url& base, const std::string& path, std::size_t length) {
  net::ClientRequest request{.method = "POST"};
  request.target = (base.path == "/" ? std::string() : base.path) + path;
  request.headers.add("Host", base.authority());
  request.headers.add("content-type", "application/json");
  request.headers.add("accept", "application/json");
  request.headers.add("accept-encoding", "identity");
  request.headers.add("anthropic-version", "2023-06-01");
  request.headers.add("user-agent", "agentrouter");
  request.headers.add("connection", "close");
  request.headers.add("content-length", std::to_string(length));
  auto head = net::request_head(request);
  head.resize(head.size() - std::string_view("\r\n").size());
  return head;
}

Task<Result<void>> read_answer(net::Stream& stream, net::ResponseParser& parser, std::string& body,
                               base::Deadline deadline) {
  std::array<char, 16 * 1024> buffer;
  while (!parser.done()) {
    auto got = co_await stream.read_some(buffer, deadline);
    if (!got) co_return tl::unexpected(std::move(got).error());
    if (*got == 0) {
      auto finished = parser.finish();
      if (finished && !parser.head_done())
        co_return base::fail(Code::unavailable, "cannot read a response: the provider closed the connection");
      co_return finished;
    }
    auto fed = parser.feed(std::string_view(buffer.data(), *got), body);
    if (!fed) co_return tl::unexpected(std::move(fed).error());
  }
  co_return Result<void>();
}

}  // namespace

Task<Result<std::unique_ptr<net::Stream>>> connect_to(const net::Url& base, const net::TlsContext* tls,
                                                      base::Deadline deadline, net::Reach reach) {
  if (base.scheme == net::Scheme::http)
    co_return co_await net::connect_tcp(base.host, base.port, deadline, reach);
  co_return co_await net::connect_tls(base.host, base.port, *tls, deadline, reach);
}

Task<Result<Answer>> send_own(OwnRequest context, std::string path, std::string body,
                              base::Deadline deadline) {
  const auto& base = context.upstream.base;
  const auto limit = std::min(deadline, base::after(context.config.connect_timeout));
  auto stream = co_await connect_to(base, context.config.tls, limit);
  if (!stream) co_return tl::unexpected(std::move(stream).error());
  const auto head = head_of(base, path, body.size());
  auto written = co_await (*stream)->write(head, deadline);
  if (written) written = co_await (*stream)->write(context.credential.head_end(), deadline);
  if (written) written = co_await (*stream)->write(body, deadline);
  if (!written) co_return tl::unexpected(std::move(written).error());
  context.record.bytes_out += body.size();
  net::ResponseParser parser(net::Answers::other, {.body_bytes = answer_bytes});
  Answer answer;
  auto read = co_await read_answer(**stream, parser, answer.body, deadline);
  (*stream)->close();
  context.record.bytes_in += answer.body.size();
  if (!read) co_return tl::unexpected(std::move(read).error());
  if (context.credential.filters().occurs_in(answer.body))
    co_return base::fail(Code::denied, "the provider's answer holds the key", "key_echo");
  answer.status = parser.head().status;
  co_return answer;
}

}  // namespace agentrouter::egress
