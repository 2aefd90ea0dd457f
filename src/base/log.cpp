#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <mutex>

#include "base/clock.h"
#include "base/json.h"
#include "base/redactor.h"
#include "base/utf8.h"

namespace agentrouter::base {

namespace {

spdlog::logger& logger() {
  static const auto instance = [] {
    auto made = spdlog::stderr_logger_mt("agentrouter");
    made->set_pattern("%v");
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *instance;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warn: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::string_view name(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warn: return "warn";
    case LogLevel::error: return "error";
  }
  return "error";
}

// What no line may hold.
class Hidden {
 public:
  void set(std::shared_ptr<const Redactor> redactor) {
    const std::lock_guard lock(mutex_);
    redactor_ = std::move(redactor);
  }
  [[nodiscard]] std::shared_ptr<const Redactor> get() {
    const std::lock_guard lock(mutex_);
    return redactor_;
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<const Redactor> redactor_ = std::make_shared<const Redactor>();
};

Hidden& hidden() {
  static Hidden hidden;
  return hidden;
}

}  // namespace

void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (!logger().should_log(to_spdlog(level))) return;
  json::object line;
  line["time"] = to_iso(system_clock().now());
  line["level"] = name(level);
  line["msg"] = to_utf8(message);
  for (const auto& field : fields) {
    if (const auto* text = std::get_if<std::string_view>(&field.value)) {
      line[field.key] = to_utf8(*text);
    } else if (const auto* number = std::get_if<long long>(&field.value)) {
      line[field.key] = *number;
    } else {
      line[field.key] = std::get<bool>(field.value);
    }
  }
  std::string text = json::serialize(line);
  hidden().get()->clean(text, Redactor::Text::json);
  logger().log(to_spdlog(level), text);
}

void hide_in_logs(Redactor redactor) {
  hidden().set(std::make_shared<const Redactor>(std::move(redactor)));
}

std::shared_ptr<const Redactor> hidden_in_logs() {
  return hidden().get();
}

void set_log_level(LogLevel least) { logger().set_level(to_spdlog(least)); }

}  // namespace agentrouter::base
