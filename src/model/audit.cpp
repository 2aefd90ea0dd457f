#include "model/audit.h"

#include <charconv>

namespace agentrouter::model {

namespace {

using base::Result;

constexpr std::string_view prefix = "sha256:";

bool is_digest(std::string_view text) {
  return text.size() == prefix.size() + 64 && text.starts_with(prefix) &&
         text.find_first_not_of("0123456789abcdef", prefix.size()) == text.npos;
}

tl::unexpected<base::Error> broken(std::string reason, std::int64_t number, const std::string& what) {
  json::object details{{"number", number}};
  return base::fail(base::Code::corrupt, "entry " + std::to_string(number) + ": " + what, std::move(reason),
                    base::to_text(details));
}

}  // namespace

json::object AuditEntry::to_json() const {
  return {{"actionDigest", action_digest},
          {"actionId", action_id},
          {"actor", actor},
          {"eventId", event_id},
          {"hash", hash},
          {"number", number},
          {"payloadDigest", payload_digest},
          {"previous", previous},
          {"runId", run_id.str()},
          {"sequence", sequence},
          {"time", base::to_iso(time)},
          {"type", type},
          {"who", who},
          {"workspace", workspace}};
}

const std::string& audit_origin() {
  static const std::string origin = std::string(prefix) + std::string(64, '0');
  return origin;
}

std::string audit_hash(json::object entry) {
  entry.erase("hash");
  return base::json_digest(entry);
}

Result<AuditHead> parse_audit_head(std::string_view text) {
  AuditHead head;
  if (const auto colon = text.find(':'); !text.starts_with(prefix) && colon != text.npos) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + colon, number);
    if (error == std::errc() && end == text.data() + colon && number > 0) {
      head.number = number;
      text.remove_prefix(colon + 1);
    }
  }
  head.hash = text;
  if (is_digest(head.hash)) return head;
  return base::fail(base::Code::invalid,
                    "a head of the audit chain is sha256:HEX or NUMBER:sha256:HEX with 64 hex digits");
}

Result<void> AuditVerifier::take(std::string_view line) {
  const auto at = "entry " + std::to_string(entries_ + 1) + " of the file: ";
  const auto value = base::parse_json(line);
  const auto* object = value ? value->if_object() : nullptr;
  const auto number = object ? base::get_int(*object, "number") : std::nullopt;
  const auto hash = object ? base::get_string(*object, "hash") : std::nullopt;
  const auto previous = object ? base::get_string(*object, "previous") : std::nullopt;
  if (!number || *number < 1 || !hash || !is_digest(*hash) || !previous)
    return base::fail(base::Code::corrupt, at + "not an entry of an audit chain", "audit_unreadable");
  if (audit_hash(*object) != *hash)
    return broken("audit_changed", *number, "changed: its content does not have the hash that it says");
  // What another reader of JSON might take otherwise, such as a key that stands there twice.
  if (base::to_canonical(*value) != line)
    return broken("audit_changed", *number, "changed: not in the canonical form that its hash is made of");
  const auto workspace = base::get_string(*object, "workspace").value_or("");
  if (entries_ > 0 && workspace != workspace_)
    return broken("audit_reordered", *number, "of another workspace than the entries before");
  auto placed = entries_ == 0 ? begin(*number, *previous) : follow(*number, *previous);
  if (!placed) return placed;
  workspace_ = workspace;
  entry_ = *object;
  hash_ = *hash;
  last_ = *number;
  if (entries_++ == 0) first_ = last_;
  if (auto same = compare(known_.begins_behind, met_begin_); !same) return same;
  return compare(known_.head, met_head_);
}

Result<void> AuditVerifier::begin(std::int64_t number, std::string_view previous) {
  if (number == 1 && previous != audit_origin())
    return broken("audit_rewritten", number, "does not begin a chain, although it has the first number");
  if (number == 1 || known_.part) return {};
  const auto& behind = known_.begins_behind;
  if (!behind)
    return broken("audit_missing", number,
                  "entries 1 to " + std::to_string(number - 1) +
                      " are missing: verify with the export before this one, or from the beginning");
  if (previous == behind->hash) {
    met_begin_ = true;
    return {};
  }
  if (behind->number && number > *behind->number)
    return broken("audit_missing", number,
                  number == *behind->number + 1
                      ? "does not follow entry " + std::to_string(*behind->number) + " as it was known"
                      : "entries " + std::to_string(*behind->number + 1) + " to " +
                            std::to_string(number - 1) + " are missing");
  return {};  // the known entry is still to come
}

Result<void> AuditVerifier::follow(std::int64_t number, std::string_view previous) const {
  if (number == last_ + 1) {
    if (previous == hash_) return {};
    return broken("audit_rewritten", number,
                  "does not follow entry " + std::to_string(last_) + ": one of the two was exchanged");
  }
  if (number <= last_)
    return broken("audit_reordered", number, "stands behind entry " + std::to_string(last_));
  return broken("audit_missing", number,
                number == last_ + 2 ? "entry " + std::to_string(last_ + 1) + " before it is missing"
                                    : "entries " + std::to_string(last_ + 1) + " to " +
                                          std::to_string(number - 1) + " before it are missing");
}

Result<void> AuditVerifier::compare(const std::optional<AuditHead>& known, bool& met) const {
  if (!known) return {};
  if (known->hash == hash_) {
    met = true;
    return {};
  }
  if (known->number && *known->number == last_)
    return broken("audit_rewritten", last_, "another one than was known: the chain was rewritten");
  return {};
}

Result<void> AuditVerifier::finish() const {
  const auto& behind = known_.begins_behind;
  for (const auto& [known, met] : {std::pair(&known_.head, met_head_), std::pair(&behind, met_begin_)}) {
    if (!*known || met) continue;
    const auto& head = **known;
    const auto name = head.number ? "entry " + std::to_string(*head.number) : std::string("the known entry");
    if (!head.number || *head.number > last_)
      return base::fail(base::Code::corrupt,
                        "the chain ends with entry " + std::to_string(last_) + ", but " + name + " (" +
                            head.hash + ") was known: it was truncated or rewritten",
                        "audit_truncated");
    return base::fail(base::Code::corrupt, name + " (" + head.hash + ") is not part of the chain",
                      "audit_rewritten");
  }
  return {};
}

}  // namespace agentrouter::model
