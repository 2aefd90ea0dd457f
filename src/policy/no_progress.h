#pragma once
// Notices an agent that makes no progress: it repeats what it did with the same results, goes round in
// cycles, undoes its own changes, runs into the same error, floods, or says nothing. A result that was not
// seen before is progress, and so is a change; docs/no-progress.md has the rules. Each agent of a run (its
// own and each subagent) is looked at by itself. Pure, and its memory is bounded for a run of any length.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "policy/no_progress_rules.h"

namespace agentrouter::policy {

// A tool call that has ended. One that was declined never ran and is none.
struct FinishedCall {
  std::string_view agent;    // the call of the subagent that made it; empty: the run's own agent
  std::string_view tool;     // shell, edit, read, mcp, web, todo, subagent, other
  std::string_view title;    // one line for people
  std::string_view command;  // of shell, as the agent says it
  std::string_view input;    // of others: all of what was asked for, in any stable form
  bool failed = false;
  std::optional<std::int64_t> exit_code;  // of shell; none when it never ran to its end
  std::string_view output;                // whole
  std::int64_t output_bytes = 0;          // of all of it, when the agent shows less; 0: as shown
  bool waits = false;                     // it does nothing but wait
  struct Change {
    std::string path;
    std::string kind;  // add, update, delete
    std::string diff;  // a diff, or of a whole file its text
  };
  std::vector<Change> changes;  // that were made
};

class NoProgress {
 public:
  // The fields of an agent.no_progress: signal, reason, parentCallId? of a subagent, and
  //   repeated_command           occurrences, command, exitCode?, outputDigest
  //   repeated_edit              occurrences, path, editDigest
  //   repeated_call              occurrences, tool, title, outputDigest
  //   ping_pong                  occurrences (rounds), cycle [title]
  //   reverted_edit              occurrences, path
  //   error_loop                 occurrences, error?
  //   long_output_without_state  outputLines; of a command also outputBytes and command
  //   long_silence               silentMs
  using Found = std::vector<json::object>;

  explicit NoProgress(NoProgressRules rules = {}) : rules_(std::move(rules)) {}
  [[nodiscard]] const NoProgressRules& rules() const { return rules_; }
  // Others from now on; what was counted stays.
  void use(NoProgressRules rules) { rules_ = std::move(rules); }

  // What follows from a call. A signal that is only warned of comes once for each thing that it is about; one
  // that is acted on begins anew afterwards, and may come again.
  [[nodiscard]] Found finished(const FinishedCall& call);
  // A command that still runs has written so much so far; once until it has ended.
  struct Written {
    std::int64_t bytes = 0;
    std::int64_t lines = 0;
  };
  [[nodiscard]] Found running(std::string_view agent, std::string_view command, Written so_far);
  // Lines that are no message of the agent's protocol, in a row; blank ones are none. A message ends the row.
  // Bytes as they come, cut anywhere.
  [[nodiscard]] Found raw_output(std::string_view bytes);
  void message() { raw_lines_ = 0; }
  // Nothing came for so long although nothing is open.
  [[nodiscard]] Found silent(std::chrono::milliseconds time);
  // The subagent has ended.
  void forget(std::string_view agent);

  // Of each agent; at a limit what it is about begins anew.
  static constexpr std::size_t max_keys = 4096;
  static constexpr std::size_t max_agents = 64;
  // Signals of a run that are told of; then no more.
  static constexpr std::size_t max_fired = 4096;

 private:
  struct Count {
    int seen = 0;
    std::uint64_t era = 0;  // in which it was counted
  };
  struct Step {
    std::uint64_t key = 0;
    bool polls = false;
    std::string title;
  };
  struct Agent {
    std::map<std::uint64_t, Count> results;
    std::map<std::uint64_t, Count> edits;
    std::map<std::uint64_t, std::pair<std::uint64_t, int>> swaps;  // of two contents: the last one, reversals
    std::map<std::string, std::uint64_t> contents;                 // of files that were written whole
    std::map<std::uint64_t, std::uint64_t> last_errors;            // by command
    std::map<std::uint64_t, int> errors;                           // by signature
    std::deque<Step> steps;
    std::uint64_t news = 0;     // eras: of results not seen before,
    std::uint64_t changes = 0;  // and of changes
    int failures = 0;
    int waited = 0;  // calls that still belong to a wait
  };

  Agent& agent_of(std::string_view name);
  [[nodiscard]] Found flood(std::string_view agent, std::string_view command, Written written);
  void look(Agent& agent, const FinishedCall& call, Found& found);
  void edited(Agent& agent, const FinishedCall& call, Found& found);
  [[nodiscard]] bool same_edit(Agent& agent, const FinishedCall& call, const FinishedCall::Change& change,
                               Found& found);
  [[nodiscard]] bool reversed(Agent& agent, const FinishedCall& call, const FinishedCall::Change& change,
                              Found& found);
  void repeated(Agent& agent, const FinishedCall& call, const std::string& output, bool polls, Found& found);
  void failing(Agent& agent, const FinishedCall& call, const std::string& output, bool polls, Found& found);
  void cycling(Agent& agent, const FinishedCall& call, const std::string& output, bool polls, Found& found);
  [[nodiscard]] int rounds_of(const Agent& agent, std::size_t period) const;
  // False when it was told of before, or nobody is to hear of any more.
  [[nodiscard]] bool fire(Signal signal, std::uint64_t key);
  void report(Signal signal, std::uint64_t key, std::string_view agent, json::object fields, Found& found);
  [[nodiscard]] bool begins_anew(const Found& found) const;

  NoProgressRules rules_;
  std::map<std::string, Agent, std::less<>> agents_;
  std::deque<std::string> oldest_;  // subagents, in the order of their first call
  std::set<std::uint64_t> fired_;
  std::set<std::uint64_t> flooding_;  // commands that run and were told of
  std::int64_t raw_lines_ = 0;
  bool raw_line_open_ = false;  // the last one has something in it and no end yet
};

}  // namespace agentrouter::policy
