#pragma once
// What one attempt is to do, as the worker hands it to the keeper over a stream: the length of the JSON text
// in eight hex digits and a line end, the JSON text, the values of the MCP servers' header fields one after
// the other, those of the way out (egress_plan.h), and then the provider key up to the end of the stream. Neither is part of the text, so they go
// from the descriptor to their locked buffers and nowhere else.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agents/session.h"
#include "base/error.h"
#include "egress/secret.h"
#include "keeper/egress_plan.h"
#include "keeper/spending_plan.h"
#include "model/defaults.h"
#include "model/run.h"
#include "policy/quota.h"
#include "policy/rules.h"

namespace agentrouter::keeper {

enum class Provider { sim, upstream, replay };
// Their words.
[[nodiscard]] std::string_view to_string(Provider provider);

struct TurnLimits {
  std::chrono::milliseconds wall_time{3'600'000};
  std::chrono::milliseconds quiet{120'000};
  std::chrono::milliseconds cancel_grace = model::defaults::cancel_grace;
  std::uint64_t output_bytes = 256ull << 20;
  std::uint64_t output_rate = 64ull << 20;  // bytes in a second, then the agent has to wait; 0: as it comes
  std::chrono::milliseconds review{60'000};  // for a reviewer's answer
};

// A remote MCP server that the run is given.
struct McpPlan {
  struct Header {
    std::string name;
    std::string value;      // on the sender's side only
    std::size_t bytes = 0;  // of the value, on the receiver's side
  };
  std::string name;
  std::string url;
  std::vector<Header> headers;
};

struct AttemptPlan {
  model::AttemptId attempt_id;
  model::RunId run_id;
  std::int64_t token = 1;
  model::Runtime runtime;
  std::string model;  // to ask for; never empty
  std::string task;
  bool restores = false;      // the state in restore.tar.zst first
  bool kept = false;          // instead: the state is there already, in layers below this attempt's own
  bool files_only = false;    // of that state, only the workspace's: this agent remembers nothing
  std::string resume_thread;  // empty: a new thread
  model::ApprovalMode approval_mode = model::ApprovalMode::automatic;
  model::ApprovalScope approval_scope = model::ApprovalScope::run;
  std::optional<policy::Rules> rules;  // of the policy that the run is held to
  model::Tags tags;
  Provider provider = Provider::sim;
  std::string base_url;  // of an upstream
  agents::AgentProgram program;
  std::vector<McpPlan> mcp;
  bool wait_for_quota = false;
  policy::QuotaRules quota;
  TurnLimits limits;  // the server's own
  model::Isolation isolation = model::Isolation::process;  // what the launcher gives
  SpendingPlan spending = {};
  std::string cassette = {};  // its name; with Provider::replay it is played, else recorded. Empty: neither
  std::string hidden = {};  // base::Needles::to_text of secrets of the server that the keeper is not given
  EgressPlan egress = {};
  std::string image = {};  // the sandbox's root is this image's; empty: the host's programs
  std::string image_digest = {};
};

// Without the key.
[[nodiscard]] std::string encode_plan(const AttemptPlan& plan);
// Errors: invalid.
[[nodiscard]] base::Result<AttemptPlan> decode_plan(std::string_view text);

// What goes before the key on the stream: secrets, too, so it is to be wiped.
[[nodiscard]] std::string frame_plan(const AttemptPlan& plan);

struct ReceivedPlan {
  AttemptPlan plan;
  std::vector<egress::Secret> mcp_secrets;  // a value for each header of each MCP server, in order
  EgressSecrets egress;                     // of AttemptPlan::egress
  std::optional<egress::Secret> key;        // there exactly when the provider is an upstream
};
// Reads `fd` (blocking) to its end. Errors: invalid (cut, malformed, or an upstream without a key), read(2).
[[nodiscard]] base::Result<ReceivedPlan> receive_plan(int fd);

}  // namespace agentrouter::keeper
