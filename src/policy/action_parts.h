#pragma once
// An action taken apart into what rules look at.

#include <optional>
#include <string>
#include <vector>

#include "policy/command.h"
#include "policy/rules.h"

namespace agentrouter::policy {

enum class PartKind { command, write, read, other };

struct Part {
  PartKind kind = PartKind::other;
  std::optional<Command> command = {};
  // Of a write or read: normalised; unknown when an expansion or an unknown folder decides.
  std::optional<Word> path = {};
  bool redirected = false;  // by a script, not by a tool of the agent
  std::string change = {};  // add, update, delete
  std::string cwd = {};     // of a command; empty when not known
  Sight sight = Sight::clear;
  std::string doubt = {};

  [[nodiscard]] std::string title(std::string_view tool) const;
};

struct Sizes {
  std::int64_t lines = 0;
  std::int64_t bytes = 0;
  std::int64_t files = 0;
};

struct Action {
  const ActionFacts& facts;
  std::vector<Part> parts = {};     // never empty
  std::optional<Sizes> sizes = {};  // of an edit whose changes all have a diff
  std::string mcp = {};             // "server.tool"
  std::string host = {};            // in lower case
  std::string method = {};          // in upper case
  std::string url_path = {};
};

[[nodiscard]] Action take_apart(const ActionFacts& facts);

}  // namespace agentrouter::policy
