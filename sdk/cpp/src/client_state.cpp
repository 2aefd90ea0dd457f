#include "client_state.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

namespace agentrouter {

Json Client::State::json(const detail::HttpRequest& request, const CallOptions& call,
                         detail::Repeat repeat) const {
  const auto body = transport->call(request, call, repeat);
  try {
    return Json::parse(body);
  } catch (const Error& error) {
    throw Error("protocol_error", "the server's reply is not JSON: " + error.message());
  }
}

namespace detail {
namespace {

constexpr std::size_t max_in_memory = 1u << 30;

}  // namespace

std::string segment(std::string_view id, std::string_view what) {
  if (id.empty()) throw Error("invalid_argument", "the " + std::string(what) + " is empty");
  return percent_encoded(id);
}

std::string run_path(std::string_view run_id, std::string_view rest) {
  return "/v1/runs/" + segment(run_id, "run id") + std::string(rest);
}

void add_query(std::string& target, std::string_view name, const std::string& value) {
  if (value.empty()) return;
  target += target.find('?') == std::string::npos ? '?' : '&';
  target.append(name).append("=").append(percent_encoded(value));
}

std::string number(std::int64_t value) {
  return value > 0 ? std::to_string(value) : std::string();
}

HttpRequest post(std::string target, std::string body) {
  return {.method = "POST", .target = std::move(target), .body = std::move(body)};
}

Repeat repeat_with(const std::string& key, HttpRequest& request, Repeat without) {
  if (key.empty()) return without;
  request.headers.push_back("idempotency-key: " + key);
  return Repeat::safe;
}

std::int64_t fetch_to_file(const std::filesystem::path& file, const std::function<void(const Sink&)>& fetch) {
  auto partial = file;
  partial += ".part";
  const auto fail = [&](int number) {
    throw Error("write_failed", "cannot write " + file.string() + ": " + std::strerror(number));
  };
  std::ofstream out(partial, std::ios::binary | std::ios::trunc);
  if (!out) fail(errno);
  std::int64_t size = 0;
  try {
    fetch([&](std::string_view bytes) {
      size += static_cast<std::int64_t>(bytes.size());
      if (!out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()))) fail(errno);
    });
    out.close();
    if (!out) fail(errno);
    std::error_code error;
    std::filesystem::rename(partial, file, error);
    if (error) fail(error.value());
    return size;
  } catch (const std::exception&) {
    std::error_code ignored;
    std::filesystem::remove(partial, ignored);
    throw;
  }
}

std::string fetch_to_memory(std::string_view what, const std::function<void(const Sink&)>& fetch) {
  std::string all;
  fetch([&](std::string_view bytes) {
    if (all.size() + bytes.size() > max_in_memory) {
      throw Error("response_too_large", "the " + std::string(what) + " is over 1 GiB: download it to a file");
    }
    all += bytes;
  });
  return all;
}

}  // namespace detail
}  // namespace agentrouter
