#include "blobs/s3/sigv4.h"

#include <algorithm>

#include "base/hash.h"
#include "base/hmac.h"

namespace agentrouter::blobs {

namespace {

constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";

std::string escaped(std::string_view text, std::string_view also_plain) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~' ||
                       also_plain.find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

// Blanks around a value and runs of them within it count as one (or none).
std::string trimmed(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == ' ' && (out.empty() || out.back() == ' ')) continue;
    out += c;
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::string two(unsigned number) {
  return {static_cast<char>('0' + number / 10 % 10), static_cast<char>('0' + number % 10)};
}

// "20130524T000000Z"
std::string stamp(base::Time at) {
  const auto days = std::chrono::floor<std::chrono::days>(at);
  const std::chrono::year_month_day date(days);
  const std::chrono::hh_mm_ss time(std::chrono::floor<std::chrono::seconds>(at - days));
  return std::to_string(static_cast<int>(date.year())) + two(static_cast<unsigned>(date.month())) +
         two(static_cast<unsigned>(date.day())) + "T" + two(static_cast<unsigned>(time.hours().count())) +
         two(static_cast<unsigned>(time.minutes().count())) +
         two(static_cast<unsigned>(time.seconds().count())) + "Z";
}

std::string scope_text(const SigningScope& scope) {
  return stamp(scope.at).substr(0, 8) + "/" + scope.region + "/s3/aws4_request";
}

std::string names_of(const Pairs& sorted) {
  std::string names;
  for (const auto& [name, value] : sorted) names += (names.empty() ? "" : ";") + name;
  return names;
}

// `headers` are sorted.
std::string canonical(const SignedRequest& request, const Pairs& headers, const Pairs& query,
                      std::string_view payload) {
  std::string text = request.method + "\n" + escape_path(request.path) + "\n" + escape_query(query) + "\n";
  for (const auto& [name, value] : headers) text += name + ":" + trimmed(value) + "\n";
  return text + "\n" + names_of(headers) + "\n" + std::string(payload);
}

std::string bytes_of(const base::Sha256::Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string signature(const std::string& canonical_text, const Credentials& credentials,
                      const SigningScope& scope) {
  const auto date = stamp(scope.at);
  const auto text = std::string(algorithm) + "\n" + date + "\n" + scope_text(scope) + "\n" +
                    base::Sha256::hex_of(canonical_text);
  std::string key = "AWS4" + credentials.secret_key;
  for (const auto& part : {date.substr(0, 8), scope.region, std::string("s3"), std::string("aws4_request")})
    key = bytes_of(base::hmac_sha256(key, part));
  const auto digest = base::hmac_sha256(key, text);
  return base::to_hex(digest.data(), digest.size());
}

}  // namespace

std::string escape(std::string_view text) {
  return escaped(text, "");
}

std::string escape_path(std::string_view path) {
  return escaped(path, "/");
}

std::string escape_query(Pairs query) {
  for (auto& [name, value] : query) {
    name = escape(name);
    value = escape(value);
  }
  std::ranges::sort(query);
  std::string text;
  for (const auto& [name, value] : query) text += (text.empty() ? "" : "&") + name + "=" + value;
  return text;
}

Pairs sign(const SignedRequest& request, const Credentials& credentials, const SigningScope& scope) {
  Pairs headers = request.headers;
  headers.emplace_back("x-amz-content-sha256", request.payload_sha256);
  headers.emplace_back("x-amz-date", stamp(scope.at));
  if (!credentials.session_token.empty())
    headers.emplace_back("x-amz-security-token", credentials.session_token);
  Pairs all = headers;
  all.emplace_back("host", request.host);
  std::ranges::sort(all);
  const auto proof =
      signature(canonical(request, all, request.query, request.payload_sha256), credentials, scope);
  headers.emplace_back("authorization", std::string(algorithm) + " Credential=" + credentials.access_key +
                                            "/" + scope_text(scope) + ", SignedHeaders=" + names_of(all) +
                                            ", Signature=" + proof);
  return headers;
}

std::string presign(const SignedRequest& request, const Credentials& credentials, const SigningScope& scope,
                    std::chrono::seconds lifetime) {
  Pairs query = request.query;
  query.emplace_back("X-Amz-Algorithm", algorithm);
  query.emplace_back("X-Amz-Credential", credentials.access_key + "/" + scope_text(scope));
  query.emplace_back("X-Amz-Date", stamp(scope.at));
  query.emplace_back("X-Amz-Expires", std::to_string(lifetime.count()));
  query.emplace_back("X-Amz-SignedHeaders", "host");
  if (!credentials.session_token.empty())
    query.emplace_back("X-Amz-Security-Token", credentials.session_token);
  const auto proof =
      signature(canonical(request, {{"host", request.host}}, query, "UNSIGNED-PAYLOAD"), credentials, scope);
  return escape_query(query) + "&X-Amz-Signature=" + proof;
}

}  // namespace agentrouter::blobs
