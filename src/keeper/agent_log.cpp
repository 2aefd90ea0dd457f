#include "keeper/agent_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/json.h"
#include "base/utf8.h"

namespace agentrouter::keeper {
namespace {

constexpr std::size_t text_line_bytes = 64u << 10;
constexpr std::size_t kept_bytes = 8u << 20;

}  // namespace

base::Result<AgentLog> AgentLog::create(int attempt_dir, const char* name, const base::Redactor& redactor) {
  base::Fd fd(::openat(attempt_dir, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return base::fail_errno(std::string("cannot make ") + name, errno);
  return AgentLog(std::move(fd), redactor);
}

void AgentLog::line(std::string line) {
  redactor_->clean(line, base::Redactor::Text::json);
  line += '\n';
  if (!catch_up() && behind_.size() + line.size() > kept_bytes) {
    base::throw_failure(base::Code::exhausted, "cannot write the agent's log: the disk is full",
                        "storage_full");
  }
  std::string_view rest = line;
  if (behind_.empty() && put(rest)) return;
  behind_ += rest;
  if (full_) full_();
}

bool AgentLog::catch_up() {
  std::string_view rest = behind_;
  const bool all = rest.empty() || put(rest);
  behind_.erase(0, behind_.size() - rest.size());
  return all;
}

// Takes away what was written; false when the disk is full.
bool AgentLog::put(std::string_view& bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) return false;
    if (written < 0) base::throw_errno("cannot write the agent's log", errno);
    bytes_ += static_cast<std::size_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

std::uint64_t LogGrowth::more(std::uint64_t read) {
  read_ += read;
  const auto written = log_.taken() - begin_;
  const auto beyond = written > read_ ? written - read_ : 0;
  return beyond > told_ ? beyond - std::exchange(told_, beyond) : 0;
}

void TextLines::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::size_t room = text_line_bytes - rest_.size();
    const std::size_t take = std::min({end, bytes.size(), room});
    rest_.append(bytes.substr(0, take));
    const bool line_ended = take == end;
    bytes.remove_prefix(take + (line_ended ? 1 : 0));
    if (line_ended || rest_.size() == text_line_bytes) {
      write(rest_);
      rest_.clear();
    }
  }
}

void TextLines::end() {
  if (!rest_.empty()) write(rest_);
  rest_.clear();
}

void TextLines::write(std::string_view text) {
  const auto& redactor = log_.redactor();
  const std::size_t longest = redactor.longest();
  std::string line(text);
  redactor.clean_rest(before_, line);
  before_.append(text.substr(text.size() - std::min(text.size(), longest)));
  before_.erase(0, before_.size() - std::min(before_.size(), longest));
  log_.line(base::to_text(json::object{{"text", base::to_utf8(line)}}));
}

}  // namespace agentrouter::keeper
