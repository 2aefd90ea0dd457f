#include "store/postgres/failure.h"

#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <memory>

namespace agentrouter::store::postgres {

namespace {

struct FreeInfo {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};
using ConnectionInfo = std::unique_ptr<PQconninfoOption, FreeInfo>;

ConnectionInfo parse_url(const std::string& url) {
  char* problem = nullptr;
  ConnectionInfo info(PQconninfoParse(url.c_str(), &problem));
  PQfreemem(problem);  // it quotes the URL
  return info;
}

std::string part_of(const ConnectionInfo& info, std::string_view keyword) {
  for (const auto* option = info.get(); option != nullptr && option->keyword != nullptr; ++option) {
    if (keyword == option->keyword && option->val != nullptr) return option->val;
  }
  return {};
}

// libpq looks at ports only when it connects. Several hosts have several.
bool has_ports(const ConnectionInfo& info) {
  const auto ports = part_of(info, "port");
  for (std::size_t at = 0; at <= ports.size() && !ports.empty();) {
    const auto end = std::min(ports.find(',', at), ports.size());
    unsigned number = 0;
    const auto read = std::from_chars(ports.data() + at, ports.data() + end, number);
    if (at < end &&
        (read.ec != std::errc() || read.ptr != ports.data() + end || number == 0 || number > 65535))
      return false;
    at = end + 1;
  }
  return true;
}

bool is_unavailable(std::string_view sqlstate) {
  // Connections, resources, an operator, the system, transactions that another one stood in the way of.
  static constexpr std::string_view classes[] = {"08", "53", "57", "58", "40", "25", "55", "0A"};
  return std::ranges::find(classes, sqlstate.substr(0, 2)) != std::end(classes);
}

}  // namespace

base::Error postgres_error(std::string_view sqlstate, const std::string& message) {
  const std::string text = "cannot use the database: " + message +
                           (sqlstate.empty() ? "" : " (SQLSTATE " + std::string(sqlstate) + ")");
  if (sqlstate == "53100") return {base::Code::unavailable, text, "storage_full"};
  if (sqlstate == "0A000") return {base::Code::internal, text};
  if (sqlstate.starts_with("XX00") && sqlstate != "XX000")
    return {base::Code::corrupt, text, "store_corrupt"};
  if (sqlstate == "22021" || sqlstate == "22P05") return {base::Code::invalid, text, "text_not_storable"};
  if (sqlstate.starts_with("28") || sqlstate == "42501") return {base::Code::denied, text, "storage_failed"};
  if (sqlstate.empty() || is_unavailable(sqlstate) || sqlstate == "3D000" || sqlstate == "XX000")
    return {base::Code::unavailable, text, "storage_failed"};
  return {base::Code::internal, text};
}

bool is_read_only(std::string_view sqlstate) {
  return sqlstate == "25006";
}

std::string without_password(std::string text, const std::string& url) {
  const auto password = password_of(url);
  for (std::size_t at = 0; !password.empty() && (at = text.find(password, at)) != std::string::npos;)
    text.replace(at, password.size(), "[REDACTED]");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::ranges::replace(text, '\n', ' ');
  return text;
}

base::Result<void> check_url(const std::string& url) {
  const bool is_url = url.starts_with("postgres://") || url.starts_with("postgresql://");
  if (const auto info = is_url ? parse_url(url) : nullptr; info && has_ports(info)) return {};
  return base::fail(
      base::Code::invalid,
      "the URL of the store cannot be read (it is not shown): want "
      "postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full, with characters such as @ : / in "
      "a name or password as %40 %3A %2F, and only parameters that libpq knows",
      "store_url_invalid");
}

std::string place_of(const std::string& url) {
  const auto info = parse_url(url);
  if (!info) return "a URL that cannot be read";
  const auto port = part_of(info, "port");
  return part_of(info, "host") + (port.empty() ? "" : ":" + port) + "/" + part_of(info, "dbname");
}

std::string password_of(const std::string& url) {
  const auto info = parse_url(url);
  return info ? part_of(info, "password") : std::string();
}

}  // namespace agentrouter::store::postgres
