#pragma once
// The audit chain: what was decided and done, as entries that each hold the hash of the one before. Whoever
// kept one hash can tell later whether anything up to it was changed, left out or exchanged.
// docs/formats/audit.md is the format; everything here is pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/json.h"
#include "model/ids.h"

namespace agentrouter::model {

struct AuditEntry {
  std::string workspace = std::string(default_workspace);
  std::int64_t number = 0;  // 1, 2, 3... without gaps within the workspace
  base::Time time;          // the event's
  RunId run_id;
  Seq sequence = 0;            // of the event within the run; 0 for run.created, which has no event
  std::string event_id;        // of a control event; may be empty
  std::string type;            // "approval.decided"
  std::string actor;           // agent, policy, system, human, runtime
  std::string who;             // names the key or the rule that decided; may be empty
  std::string action_id;       // may be empty, as the digest
  std::string action_digest;   // "sha256:..."
  std::string payload_digest;  // "sha256:..." over the canonical payload of the event
  std::string previous;        // the hash of the entry before; audit_origin of the first
  std::string hash;            // "sha256:..." over the canonical entry without this field

  [[nodiscard]] json::object to_json() const;
};

// What stands before the first entry: "sha256:" and 64 zeros.
[[nodiscard]] const std::string& audit_origin();

// "sha256:" and the digest of the canonical form of `entry` without its `hash`.
[[nodiscard]] std::string audit_hash(json::object entry);

// A point of the chain that somebody keeps: "1042:sha256:..." or the hash alone.
struct AuditHead {
  std::optional<std::int64_t> number;
  std::string hash;
};
// Errors: invalid.
[[nodiscard]] base::Result<AuditHead> parse_audit_head(std::string_view text);

// What a reader of an export knows about the chain.
struct AuditKnown {
  std::optional<AuditHead> head = {};  // must be part of the chain
  // Where the export may begin: behind this entry. None: at the first entry, or anywhere when `part` is set.
  std::optional<AuditHead> begins_behind = {};
  bool part = false;
};

// Reads an export line by line and says where the chain breaks. Errors of take() and finish() are corrupt,
// with reason audit_unreadable (no entry), audit_changed (its hash is another one), audit_missing,
// audit_reordered, audit_rewritten (a chain, but not the one that was known) or audit_truncated; the message
// names the entry.
class AuditVerifier {
 public:
  explicit AuditVerifier(AuditKnown known = {}) : known_(std::move(known)) {}

  // One line without its line end.
  [[nodiscard]] base::Result<void> take(std::string_view line);
  // After the last line.
  [[nodiscard]] base::Result<void> finish() const;

  [[nodiscard]] std::int64_t entries() const { return entries_; }
  [[nodiscard]] std::int64_t first() const { return first_; }
  [[nodiscard]] std::int64_t last() const { return last_; }
  // The hash of the last entry; empty before one.
  [[nodiscard]] const std::string& hash() const { return hash_; }
  // The entry that was taken last.
  [[nodiscard]] const json::object& entry() const { return entry_; }

 private:
  [[nodiscard]] base::Result<void> begin(std::int64_t number, std::string_view previous);
  [[nodiscard]] base::Result<void> follow(std::int64_t number, std::string_view previous) const;
  [[nodiscard]] base::Result<void> compare(const std::optional<AuditHead>& known, bool& met) const;

  AuditKnown known_;
  std::int64_t entries_ = 0;
  std::int64_t first_ = 0;
  std::int64_t last_ = 0;
  std::string workspace_;
  std::string hash_;
  json::object entry_;
  bool met_head_ = false;
  bool met_begin_ = false;
};

}  // namespace agentrouter::model
