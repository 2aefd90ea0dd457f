#include "webhooks/sender.h"

#include <array>
#include <charconv>

#include "base/utf8.h"
#include "net/client.h"

namespace agentrouter::webhooks {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t longest_error = 300;
constexpr milliseconds longest_wait = std::chrono::hours(24 * 365);

std::optional<int> digits(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || value < 0)
    return std::nullopt;
  return value;
}

// "Sun, 06 Nov 1994 08:49:37 GMT"
std::optional<base::Time> date_of(std::string_view text) {
  constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
  if (text.size() != 29 || !text.ends_with(" GMT")) return std::nullopt;
  const auto month = months.find(text.substr(8, 3));
  const auto day = digits(text.substr(5, 2)), year = digits(text.substr(12, 4)), hour = digits(text.substr(17, 2)),
             minute = digits(text.substr(20, 2)), second = digits(text.substr(23, 2));
  if (month == months.npos || month % 3 != 0 || !day || !year || !hour || !minute || !second)
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(month / 3) + 1),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  return base::Time(std::chrono::sys_days(date)) + std::chrono::hours(*hour) +
         std::chrono::minutes(*minute) + std::chrono::seconds(*second);
}

Outcome failed(const base::Error& error) {
  return {.error = std::string(base::cut_utf8(base::to_utf8(error.message), longest_error))};
}

net::ClientRequest request_of(Outgoing& message) {
  net::ClientRequest request;
  request.method = "POST";
  request.target = message.url.target();
  request.headers = std::move(message.headers);
  request.headers.set("Host", message.url.authority());
  request.headers.set("Connection", "close");
  request.body = std::move(message.body);
  return request;
}

// What came of it. A redirect is no delivery: it could lead anywhere.
Outcome outcome_of(const net::ResponseHead& head, base::Time now) {
  Outcome outcome{.status = head.status};
  if (head.status >= 200 && head.status < 300) return outcome;
  outcome.error = "the endpoint answered " + std::to_string(head.status);
  if (head.status >= 300 && head.status < 400) outcome.error += ": redirects are not followed";
  if (const auto wanted = head.headers.find("Retry-After")) outcome.retry_after = retry_after_of(*wanted, now);
  return outcome;
}

}  // namespace

base::Result<void> HttpSender::read_certificates() {
  if (tls_) return {};
  AGENTROUTER_TRY(auto context, net::TlsContext::create({.ca_file = ca_file_}));
  tls_.emplace(std::move(context));
  return {};
}

base::Task<base::Result<std::unique_ptr<net::Stream>>> HttpSender::open(const Outgoing& message,
                                                                        base::Deadline deadline) {
  if (message.url.scheme == net::Scheme::http)
    co_return co_await net::connect_tcp(message.url.host, message.url.port, deadline, message.reach);
  if (auto read = read_certificates(); !read) co_return tl::unexpected(std::move(read).error());
  co_return co_await net::connect_tls(message.url.host, message.url.port, *tls_, deadline, message.reach);
}

base::Task<Outcome> HttpSender::send(Outgoing message) {
  const auto deadline = base::after(limits_.time);
  auto stream = co_await open(message, deadline);
  if (!stream) co_return failed(stream.error());
  net::ClientConnection connection(std::move(*stream));
  auto request = request_of(message);
  const auto head = co_await connection.send(std::move(request), deadline);
  if (!head) co_return failed(head.error());
  auto outcome = outcome_of(*head, clock_.now());
  // Read, so that an honest endpoint is not cut off, and thrown away.
  for (std::uint64_t got = 0; got < limits_.body_bytes;) {
    const auto piece = co_await connection.read_some(deadline);
    if (!piece || piece->empty()) break;
    got += piece->size();
  }
  connection.close();
  co_return outcome;
}

std::optional<milliseconds> retry_after_of(std::string_view value, base::Time now) {
  if (const auto seconds = digits(value))
    return std::min<milliseconds>(std::chrono::seconds(*seconds), longest_wait);
  if (const auto date = date_of(value)) return std::clamp<milliseconds>(*date - now, milliseconds(0), longest_wait);
  return std::nullopt;
}

}  // namespace agentrouter::webhooks
