#pragma once
// Which hosts a run may reach beside its model providers and MCP servers: `[[egress]]` of a policy. Nothing is
// reachable that no rule allows. Pure; docs/egress.md is the language.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "policy/policy.h"

namespace agentrouter::policy {

// What is spoken on a connection, as far as the rules know: `tcp` is carried without being looked into.
enum class EgressScheme { https, http, tcp };
[[nodiscard]] std::string_view to_string(EgressScheme scheme);

// A connection that a program of the sandbox makes, or one request on it.
struct EgressRequest {
  std::string host;  // the name that was looked up, in lower case without a dot at its end; or an address
  std::uint16_t port = 443;
  EgressScheme scheme = EgressScheme::https;
  std::string method = {};  // empty: of a connection, whose requests are not known yet
  // As it was sent, without query: judge() decodes it, and blocks what servers may read differently.
  std::string path = {};
};

struct EgressVerdict {
  Decision decision = Decision::blocked;
  std::string policy_id = {};
  std::string rule_id = {};  // "default" where no rule matched
  std::string reason = {};   // a sentence for people and for the agent
  std::string secret = {};   // the name of what is added to the request
  // Of an https connection: what it may do depends on its requests, so TLS has to end at the proxy. Then
  // `decision` only says whether any request could be let go or asked about.
  bool inspect = false;
};

struct EgressRule {
  std::string id;
  std::vector<std::string> host;  // "registry.npmjs.org", "*.example.com" (not example.com itself), "192.0.2.7", "*"
  std::vector<std::uint16_t> port = {};  // empty: 443 of https, 80 of http; tcp always names some; a denial: any
  std::optional<EgressScheme> scheme = EgressScheme::https;  // of a denial maybe none: any
  std::vector<std::string> method = {};                      // empty: any
  std::vector<std::string> path = {};                        // "/team/**"; empty: any
  Decision verdict = Decision::allowed;
  std::string reason = {};
  std::string secret = {};
};

// A name or an IPv4 address as rules compare it: in lower case. Nothing where it is neither: a dot at its end,
// letters that are not ASCII (their xn-- form is a name), an address in any form but a.b.c.d.
[[nodiscard]] std::optional<std::string> egress_host(std::string_view text);

// What policy documents say beside the rules.
enum class Opens { as_said, nothing /* a dry run */ };

// The rules of one policy, or of several that all must agree. Cheap to copy.
class EgressRules {
 public:
  EgressRules() = default;  // nothing is reachable
  // The value of `egress` in a policy's document: an array of tables. `policy_id` is what verdicts say.
  // Errors: invalid (policy_invalid), naming the rule and the key.
  [[nodiscard]] static base::Result<EgressRules> parse(const json::value& rules, std::string_view policy_id,
                                                       Opens opens = Opens::as_said);

  [[nodiscard]] bool empty() const { return policies_.empty(); }
  // The first rule that matches counts, else it is blocked; of several policies the strictest word. A secret
  // is added only where all name the same.
  [[nodiscard]] EgressVerdict judge(const EgressRequest& request) const;
  // Whether some request to this name could be let go or asked about: others are not looked up.
  [[nodiscard]] bool knows_host(std::string_view host) const;
  // Where the sandbox has to listen, ascending, at most max_ports.
  static constexpr std::size_t max_ports = 16;
  [[nodiscard]] std::vector<std::uint16_t> ports() const;
  // Whether any connection may have to be looked into: then the sandbox trusts a certificate authority of the
  // run's own.
  [[nodiscard]] bool inspects() const;
  // Names of the secrets that rules use, without doubles.
  [[nodiscard]] std::vector<std::string> secrets() const;

  // All of both must agree. An empty one allows nothing.
  friend EgressRules tightened(const EgressRules& server, const EgressRules& caller);

 private:
  struct Named {
    std::string policy_id;
    Opens opens = Opens::as_said;
    std::vector<EgressRule> rules;
  };
  [[nodiscard]] static EgressVerdict judge_one(const Named& policy, const EgressRequest& request);
  std::vector<std::shared_ptr<const Named>> policies_;
};
[[nodiscard]] EgressRules tightened(const EgressRules& server, const EgressRules& caller);

}  // namespace agentrouter::policy
