#pragma once
// What programs of a sandbox believe where its connections are looked into, or where hosts have certificates
// that only this server knows: the machine's certificates with the run's own beside them, at the places where
// programs look for them.

#include <string>
#include <vector>

#include "base/error.h"
#include "keeper/egress_plan.h"
#include "sandbox/plan.h"

namespace agentrouter::worker {

// In the sandbox.
inline constexpr const char* trust_path = "/etc/ssl/certs";
inline constexpr const char* trust_file = "/etc/ssl/certs/ca-certificates.crt";
inline constexpr const char* extra_trust_file = "/etc/ssl/certs/agentrouter.pem";  // without the machine's

[[nodiscard]] bool needs_trust(const keeper::EgressPlan& egress);
// Writes the certificates into the attempt's folder `attempt` (borrowed; `path` is where it is) and shows them in
// the sandbox in place of the machine's. May be repeated. Errors: those of writing.
[[nodiscard]] base::Result<void> give_trust(const keeper::EgressPlan& egress, int attempt, const std::string& path,
                                            sandbox::Plan& plan);
// "SSL_CERT_FILE=...": for programs that bring certificates of their own.
[[nodiscard]] std::vector<std::string> trust_environment();

}  // namespace agentrouter::worker
