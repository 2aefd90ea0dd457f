#pragma once
// The table of commits: one row for each group of closures that was committed, by whichever node, numbered
// without gaps under the writer's turn. It says what was changed, not how: that is in the tables. A commit
// whose answer was lost is looked up here, and every node reads here what the others have done.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "store/postgres/capture.h"
#include "store/postgres/session.h"

namespace agentrouter::store::postgres {

// Which commit this was. A node is a process; its tickets count its commits.
struct CommitName {
  std::string node;
  std::int64_t ticket = 0;
  auto operator<=>(const CommitName&) const = default;
};

// A run of events of one run, in one commit, with nothing of another run between them.
struct EventRange {
  model::RunId run;
  model::Seq first = 0;
  model::Seq last = 0;
};

struct LoggedCommit {
  std::int64_t position = 0;
  CommitName name;
  std::vector<EventRange> events;
  std::vector<RunChange> changes;
  bool outbox_changed = false;
  std::vector<std::string> note_kinds;
};

// Where the log is, and what it has at the place that was asked for.
struct LogHead {
  std::int64_t position = 0;              // of the last commit
  std::int64_t first = 0;                 // of the oldest that is kept; 0: none is
  std::optional<CommitName> at_position;  // of the one that was asked for, if it is kept
};

// Waits until no other node writes, until the end of the transaction.
void take_turn(Session& session);
// Writes the row, tells whoever listens, commits. The position of the commit.
std::int64_t commit_logged(Session& session, const CommitName& name, const Capture& capture);
// Under the writer's turn, that is: when whoever wrote it cannot be at it any more.
[[nodiscard]] std::optional<std::int64_t> position_of(Session& session, const CommitName& name);

[[nodiscard]] LogHead head_of(Session& session, std::int64_t position);
// Those behind `after` in their order, at most `limit`.
[[nodiscard]] std::vector<LoggedCommit> commits_after(Session& session, std::int64_t after, int limit);
// Forgets what is older, a piece at a time.
void forget_commits(Session& session, std::chrono::seconds older_than);

// The channel of NOTIFY; what is notified is a position.
inline constexpr std::string_view commit_channel = "agentrouter_commits";

}  // namespace agentrouter::store::postgres
