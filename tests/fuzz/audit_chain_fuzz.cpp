// covers: src/model/audit.cpp
// Exports of the audit chain from arbitrary bytes: no crash, and whatever is found intact against a head that was kept
// begins, byte for byte, with the chain that had this head.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "model/audit.h"

using namespace agentrouter;

namespace {

// What was exported once; the corpus holds the same.
std::vector<std::string> known_chain() {
  std::vector<std::string> lines;
  auto previous = model::audit_origin();
  for (std::int64_t number = 1; number <= 5; ++number) {
    model::AuditEntry entry;
    entry.number = number;
    entry.time = base::Time(std::chrono::milliseconds(1'780'000'000'000 + number));
    entry.run_id = model::RunId("run_1");
    entry.sequence = number - 1;
    entry.event_id = "evt_" + std::to_string(number);
    entry.type = number == 1 ? "run.created" : "approval.decided";
    entry.actor = "human";
    entry.who = "key_\u00e9";
    entry.action_id = "action_1";
    entry.action_digest = "sha256:" + std::string(64, 'a');
    entry.payload_digest = "sha256:" + std::string(64, 'b');
    entry.previous = previous;
    entry.hash = previous = model::audit_hash(entry.to_json());
    lines.push_back(base::to_canonical(entry.to_json()));
  }
  return lines;
}

std::string known_hash(const std::string& line) {
  return std::string(base::get_string(base::parse_json(line)->get_object(), "hash").value());
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

bool is_intact(const std::vector<std::string_view>& lines, model::AuditKnown known) {
  model::AuditVerifier verifier(std::move(known));
  for (const auto line : lines) {
    if (!verifier.take(line)) return false;
  }
  return verifier.finish().has_value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto chain = known_chain();
  static const auto head = known_hash(chain.back());
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::ignore = model::parse_audit_head(text);
  const auto lines = lines_of(text);
  std::ignore = is_intact(lines, {.part = true});
  std::ignore = is_intact(lines, {.begins_behind = model::AuditHead{2, known_hash(chain[1])}});
  if (!is_intact(lines, {.head = model::AuditHead{std::nullopt, head}})) return 0;
  if (lines.size() < chain.size()) std::abort();
  for (std::size_t i = 0; i < chain.size(); ++i) {
    if (lines[i] != chain[i]) std::abort();
  }
  return 0;
}
