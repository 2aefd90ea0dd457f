#include "runs/idempotency.h"

#include "base/hash.h"

namespace agentrouter::runs {

std::string body_hash(const json::object& body) {
  static const json::object defaults{{"approvalMode", "auto"}, {"approvalScope", "run"},
                                     {"priority", 0},          {"requireIsolation", "process"},
                                     {"tags", json::object()}, {"waitForQuota", false},
                                     {"mcp", json::array()}};
  json::object same = body;
  for (const auto& member : defaults) {
    const auto* value = same.if_contains(member.key());
    if (value && *value == member.value()) same.erase(member.key());
  }
  return base::Sha256::hex_of(base::to_canonical(same));
}

std::string key_hash(const KeyedUse& use, std::string_view workspace) {
  // Keys of the first version had one target and no scope. Neither a key nor a workspace has a line end.
  if (workspace != model::default_workspace)
    return base::Sha256::hex_of(std::string(workspace) + "\n" + use.target + "\n" + use.key);
  if (use.target == "POST /v1/runs") return base::Sha256::hex_of(use.key);
  return base::Sha256::hex_of(use.target + "\n" + use.key);
}

base::Result<std::optional<store::IdempotencyKey>> earlier_use(store::Transaction& tx, const KeyedUse& use,
                                                               Context context) {
  if (use.key.empty()) return std::nullopt;
  const auto now = context.clock.now();
  (void)tx.purge_idempotency_keys(now, purged_at_once);
  auto used = tx.idempotency_key(key_hash(use, tx.home()));
  if (!used || used->expires_at <= now) return std::nullopt;
  if (used->body_hash == use.body_hash) return used;
  return base::fail(base::Code::conflict, "this Idempotency-Key was used with a different request",
                    "idempotency_conflict");
}

void remember_use(store::Transaction& tx, const KeyedUse& use, const model::RunId& run, model::Seq event_seq,
                  Context context) {
  if (use.key.empty()) return;
  tx.put_idempotency_key(
      {key_hash(use, tx.home()), use.body_hash, run, context.clock.now() + idempotency_lifetime, event_seq});
}

}  // namespace agentrouter::runs
