#include "scripted_agent/wire.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

namespace agentrouter::scripted_agent {

std::int64_t now_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

std::optional<json::object> Wire::take_line() {
  for (auto end = buffer_.find('\n'); end != std::string::npos; end = buffer_.find('\n')) {
    const auto line = buffer_.substr(0, end);
    buffer_.erase(0, end + 1);
    auto value = base::parse_json(line);
    if (value && value->is_object()) return std::move(value->get_object());
  }
  return std::nullopt;
}

std::optional<json::object> Wire::next(std::chrono::milliseconds time, int also) {
  const auto end = std::chrono::steady_clock::now() + time;
  for (;;) {
    if (auto message = take_line()) return message;
    int left = -1;
    if (time >= std::chrono::milliseconds(0)) {
      const auto rest = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
      left = static_cast<int>(std::clamp<std::int64_t>(rest.count(), 0, 60'000));
      if (rest.count() <= 0 && time.count() > 0) return std::nullopt;
    }
    pollfd waits[2] = {{STDIN_FILENO, POLLIN, 0}, {also, POLLIN, 0}};
    const int ready = ::poll(waits, 2, left);
    if (ready < 0 && errno == EINTR) continue;
    if (waits[0].revents != 0) {
      char bytes[65536];
      const auto count = ::read(STDIN_FILENO, bytes, sizeof bytes);
      if (count <= 0) throw Gone{};
      buffer_.append(bytes, static_cast<std::size_t>(count));
      continue;
    }
    if (waits[1].revents != 0 || time.count() == 0) return std::nullopt;
  }
}

void Wire::write(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto count = ::write(descriptor, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) throw Gone{};
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

void Wire::send(json::object message) {
  write(STDOUT_FILENO, base::to_text(std::move(message)) + "\n");
}

void Wire::notify(std::string_view method, json::object params) {
  send({{"method", method}, {"params", std::move(params)}, {"emittedAtMs", now_ms()}});
}

void Wire::answer(const json::value& id, json::object result) {
  send({{"id", id}, {"result", std::move(result)}});
}

void Wire::refuse(const json::value& id, int code, std::string_view message) {
  send({{"id", id}, {"error", {{"code", code}, {"message", message}}}});
}

}  // namespace agentrouter::scripted_agent
