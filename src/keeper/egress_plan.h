#pragma once
// What an attempt is given for the hosts that its policy lets it reach (egress/outbound.h): secrets by name, a
// certificate authority of its own, who may be in a private network. Values travel behind the plan's text
// (plan.h), so they go from the descriptor to their locked buffers and nowhere else.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "egress/authority.h"
#include "egress/outbound.h"
#include "egress/secret.h"
#include "policy/rules.h"

namespace agentrouter::keeper {

// One of `[secrets]`.
struct SecretPlan {
  std::string name;
  std::string host;  // "api.github.com", "host:8443"
  std::vector<std::string> methods = {};
  std::vector<std::string> paths = {};
  std::string header = {};
  // On the sender's side only: what the header field says, and what of it is secret where that is written
  // otherwise in the field, else empty.
  std::string field = {};
  std::string plain = {};
  std::size_t field_bytes = 0;  // on the receiver's side
  std::size_t plain_bytes = 0;
};

struct EgressPlan {
  std::vector<SecretPlan> secrets = {};  // that the run's rules name
  std::vector<std::string> private_hosts = {};
  std::string ca_certificates = {};  // PEM; hosts that these prove are believed, beside the machine's own
  std::string authority = {};        // the run's own, PEM; empty: no connection is looked into
  std::string authority_key = {};    // PEM, on the sender's side only
  std::size_t authority_key_bytes = 0;

  static constexpr std::size_t max_secrets = 64;  // each takes pages of locked memory

  [[nodiscard]] json::object to_json() const;
  // Errors: invalid.
  [[nodiscard]] static base::Result<EgressPlan> from_json(const json::object& object);
  // What goes behind the plan's text: fields and plain values in order, then the authority's key.
  [[nodiscard]] std::string values() const;
};

// Of what a server has: the secrets that these rules name, and the rest where they open anything at all.
// Errors: not_found (secret_unknown, details {name}).
[[nodiscard]] base::Result<EgressPlan> plan_for(const policy::Rules& rules, const EgressPlan& all);
// Makes the run's own authority.
[[nodiscard]] base::Result<void> give_authority(EgressPlan& plan, std::string_view run_id);

// The values, on the receiver's side.
struct EgressSecrets {
  struct One {
    egress::Secret field;
    std::optional<egress::Secret> plain;
  };
  std::vector<One> secrets = {};  // in the plan's order
  egress::SecretBuffer authority_key = {};
  std::unique_ptr<egress::Authority> authority = {};

  // Reads exactly what `plan` says. Errors: invalid, those of read(2).
  [[nodiscard]] static base::Result<EgressSecrets> read_from(int fd, const EgressPlan& plan);
  // What must appear nowhere; they die with it.
  [[nodiscard]] std::vector<std::string_view> views() const;
};

}  // namespace agentrouter::keeper
