#pragma once
// What `codex app-server` asks of its client: questions for a verdict, and a few things that have one fixed
// answer.

#include <string>
#include <variant>

#include "agents/session.h"

namespace agentrouter::agents::codex {

enum class QuestionKind { command, file_change, mcp };

// A question that somebody has to answer. The title of its Ask is in full. The args of a file change's are
// not complete: its diff stands in the item that it is about.
struct Question {
  QuestionKind kind = QuestionKind::command;
  Ask ask;
};

// Answered by ourselves with these bytes: nothing is granted by it.
struct FixedReply {
  std::string bytes;
};

// Not a request that we can treat safely. `reply` may be empty.
struct Unacceptable {
  std::string reply;
  std::string what;  // in full
};

using ServerRequest = std::variant<Question, FixedReply, Unacceptable>;

[[nodiscard]] ServerRequest read_request(std::string_view method, const json::value& id,
                                         const json::object& params);

// The bytes that answer a question of this kind.
[[nodiscard]] std::string answer_to(QuestionKind kind, const json::value& id, Answer answer);

// Completes the Ask of a file change with the changes as the agent sent them.
void add_changes(Ask& ask, const json::array& changes, std::string_view cwd);

}  // namespace agentrouter::agents::codex
