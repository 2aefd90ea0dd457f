#pragma once
// Structured logs: one JSON object per line on stderr. What hide_in_logs() (redactor.h) was told of is in none of
// them, in whatever encoding.

#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

namespace agentrouter::base {

enum class LogLevel { debug, info, warn, error };

struct LogField {
  std::string_view key;
  std::variant<std::string_view, long long, bool> value;
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
  LogField(std::string_view k, long long v) : key(k), value(v) {}
  LogField(std::string_view k, int v) : key(k), value(static_cast<long long>(v)) {}
  LogField(std::string_view k, long v) : key(k), value(static_cast<long long>(v)) {}
  LogField(std::string_view k, unsigned long v) : key(k), value(static_cast<long long>(v)) {}
  LogField(std::string_view k, bool v) : key(k), value(v) {}
};

// {"time":"...","level":"info","msg":"...",fields...}. Safe from any thread.
void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});

void set_log_level(LogLevel least);

}  // namespace agentrouter::base
