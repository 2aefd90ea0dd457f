#include "policy/no_progress.h"

#include "base/hash.h"
#include "base/utf8.h"

namespace agentrouter::policy {

namespace {

std::string digest(std::string_view text) {
  return "sha256:" + base::Sha256::hex_of(text);
}

std::string times(int count) {
  return std::to_string(count) + " times";
}

}  // namespace

NoProgress::Count& NoProgress::count_of(const std::string& key) {
  if (counts_.size() >= max_keys && !counts_.contains(key)) counts_.clear();
  return counts_[key];
}

void NoProgress::forget_successes(const std::string& except) {
  for (auto& [key, count] : counts_) {
    if (count.succeeded && key != except) count.seen = 0;
  }
}

std::optional<json::object> NoProgress::command(std::string_view command,
                                                std::optional<std::int64_t> exit_code,
                                                std::string_view output) {
  const auto output_digest = digest(output);
  const auto exit_text = exit_code ? std::to_string(*exit_code) : "none";
  const auto key = digest("command\n" + exit_text + "\n" + output_digest + "\n" + std::string(command));
  auto& count = count_of(key);
  count.succeeded = exit_code == 0;
  if (count.seen == 0 && count.succeeded && !count.fired) forget_successes(key);
  if (++count.seen < threshold || count.fired) return std::nullopt;
  count.fired = true;
  json::object fields;
  fields["signal"] = "repeated_command";
  fields["reason"] = "The same command gave the same result " + times(count.seen);
  fields["occurrences"] = count.seen;
  fields["command"] = std::string(base::cut_utf8(command, 8u << 10));
  if (exit_code) fields["exitCode"] = *exit_code;
  fields["outputDigest"] = output_digest;
  return fields;
}

std::optional<json::object> NoProgress::edit(std::string_view path, std::string_view content) {
  const auto edit_digest = digest(content);
  const auto key = digest("edit\n" + edit_digest + "\n" + std::string(path));
  auto& count = count_of(key);
  if (count.seen == 0) forget_successes(key);
  if (++count.seen < threshold || count.fired) return std::nullopt;
  count.fired = true;
  json::object fields;
  fields["signal"] = "repeated_edit";
  fields["reason"] = "The same edit was made " + times(count.seen);
  fields["occurrences"] = count.seen;
  fields["path"] = std::string(path);
  fields["editDigest"] = edit_digest;
  return fields;
}

}  // namespace agentrouter::policy
