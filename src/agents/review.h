#pragma once
// The reviewer of the modes auto and auto_review, without I/O: what it is asked about one tool call, and what
// its answer means. It is a model of the same provider, asked by the keeper and not by the agent. Whatever
// the agent wrote is data in the question, between marks that it cannot know; the answer is read strictly,
// and everything but a clear "allow" is a denial. `hidden` as in TurnSpec.

#include <string>
#include <string_view>
#include <vector>

#include "agents/session.h"

namespace agentrouter::agents {

// A call as it is listed before the one under review: tool and arguments, bounded.
struct ListedCall {
  std::string call_id;
  std::string line;  // shell call: {"command":"ls"}
};
[[nodiscard]] ListedCall listed_call(std::string call_id, std::string_view tool, const json::object& args,
                                     const base::Redactor& hidden = base::no_secrets);

inline constexpr std::size_t review_listed_calls = 100;

struct ReviewSubject {
  model::RuntimeKind kind = model::RuntimeKind::codex;  // whose API the request speaks
  std::string model;
  std::string task;
  std::vector<ListedCall> earlier;  // of this turn, oldest first; at most review_listed_calls are shown
  std::size_t omitted = 0;          // calls of this turn before those
  std::string tool;
  json::object args;  // in full
  std::string nonce;  // unguessable: part of the marks around what is not ours
};

struct ReviewRequest {
  std::string path;  // /v1/responses or /v1/messages
  std::string body;  // JSON
};

// A call whose arguments are longer cannot be reviewed and is denied.
inline constexpr std::size_t review_args_bytes = 128u << 10;

// Nothing when the call is too long.
[[nodiscard]] std::optional<ReviewRequest> review_request(const ReviewSubject& subject);

struct ReviewVerdict {
  bool allowed = false;
  std::string reason;  // of the reviewer, one line; or why there is no word of it
};

// `body` is the whole answer of the provider to a request that it answered with `status`. Allowed exactly
// when it is complete and its text is {"outcome":"allow","risk":"low"|"medium","reason":"..."} and nothing
// else.
[[nodiscard]] ReviewVerdict read_review(model::RuntimeKind kind, int status, std::string_view body,
                                        const base::Redactor& hidden = base::no_secrets);

}  // namespace agentrouter::agents
