#include "policy/no_progress.h"

#include <algorithm>
#include <array>

#include "base/hash.h"
#include "base/utf8.h"
#include "policy/output_noise.h"
#include "policy/plain_read.h"
#include "policy/waiting.h"

namespace agentrouter::policy {

namespace {

constexpr std::size_t shown_bytes = 8u << 10;
constexpr std::size_t title_bytes = 120;
// Calls that still belong to a wait before them: what is looked at in one round of polling.
constexpr int calls_of_a_wait = 4;

std::string digest(std::string_view text) {
  return "sha256:" + base::Sha256::hex_of(text);
}

std::string times(int count) {
  return std::to_string(count) + " times";
}

std::string text(std::uint64_t key) {
  return std::to_string(key);
}

std::string exit_text(const FinishedCall& call) {
  return call.exit_code ? std::to_string(*call.exit_code) : call.failed ? "failed" : "none";
}

bool succeeded(const FinishedCall& call) {
  return !call.failed && call.exit_code.value_or(0) == 0;
}

bool is_edit(const FinishedCall& call) {
  return call.tool == "edit" && !call.failed;
}

// The list of things to do and the calls of others are no steps of this agent's work.
bool is_step(const FinishedCall& call) {
  return call.tool != "todo" && call.tool != "subagent";
}

bool only_looks(const FinishedCall& call) {
  return call.tool == "shell" ? only_reads(script_of(call.command))
                              : call.tool == "read" || call.tool == "web";
}

std::int64_t output_lines(std::string_view output) {
  const auto ends = std::ranges::count(output, '\n');
  return output.empty() || output.ends_with('\n') ? ends : ends + 1;
}

// `map` with room for one more; at its limit everything begins anew.
template <class Map>
Map& bounded(Map& map) {
  if (map.size() >= NoProgress::max_keys) map.clear();
  return map;
}

// What a change takes away and what it puts in its place.
struct Sides {
  std::uint64_t before = 0;
  std::uint64_t after = 0;
};

bool is_whole(const FinishedCall::Change& change) {
  return change.kind == "add" || change.kind == "delete" ||
         (change.diff.find("\n-") == std::string::npos && !change.diff.starts_with('-') &&
          !change.diff.starts_with("@@"));
}

Sides sides_of(std::string_view diff) {
  std::string taken;
  std::string put;
  while (!diff.empty()) {
    const auto end = std::min(diff.find('\n'), diff.size());
    const auto line = diff.substr(0, end);
    diff.remove_prefix(std::min(end + 1, diff.size()));
    if (line.starts_with("---") || line.starts_with("+++")) continue;
    if (line.starts_with('-')) taken.append(line.substr(1)).append("\n");
    if (line.starts_with('+')) put.append(line.substr(1)).append("\n");
  }
  return {short_digest(taken), short_digest(put)};
}

}  // namespace

NoProgress::Agent& NoProgress::agent_of(std::string_view name) {
  const auto found = agents_.find(name);
  if (found != agents_.end()) return found->second;
  if (!name.empty()) {
    if (oldest_.size() >= max_agents) {
      agents_.erase(oldest_.front());
      oldest_.pop_front();
    }
    oldest_.emplace_back(name);
  }
  return agents_[std::string(name)];
}

void NoProgress::forget(std::string_view agent) {
  if (agent.empty()) return;
  const auto found = agents_.find(agent);
  if (found == agents_.end()) return;
  agents_.erase(found);
  std::erase(oldest_, agent);
}

bool NoProgress::fire(Signal signal, std::uint64_t key) {
  if (rules_.intervenes(signal)) return true;
  const auto whole = short_digest(std::string(to_string(signal)) + "\n" + text(key));
  if (fired_.size() >= max_fired || !fired_.insert(whole).second) return false;
  return true;
}

void NoProgress::report(Signal signal, std::uint64_t key, std::string_view agent, json::object fields,
                        Found& found) {
  if (begins_anew(found) || !fire(signal, short_digest(std::string(agent) + "\n" + text(key)))) return;
  json::object whole;
  whole["signal"] = to_string(signal);
  if (!agent.empty()) whole["parentCallId"] = agent;
  for (auto& field : fields) whole[field.key()] = std::move(field.value());
  found.push_back(std::move(whole));
}

// Something follows from it, and then all counts begin anew: what comes next is another occurrence.
bool NoProgress::begins_anew(const Found& found) const {
  return std::ranges::any_of(found, [this](const json::object& fields) {
    const auto signal = parse_signal(base::get_string(fields, "signal").value_or(""));
    return signal && rules_.intervenes(*signal);
  });
}

NoProgress::Found NoProgress::finished(const FinishedCall& call) {
  Found found;
  if (!is_step(call)) return found;
  auto& agent = agent_of(call.agent);
  look(agent, call, found);
  if (begins_anew(found)) agent = Agent();
  return found;
}

void NoProgress::look(Agent& agent, const FinishedCall& call, Found& found) {
  const auto waiting = call.waits             ? Waiting::only
                       : call.tool == "shell" ? waiting_of(call.command)
                                              : Waiting::none;
  if (waiting == Waiting::only) agent.waited = calls_of_a_wait + 1;
  if (agent.waited > 0) --agent.waited;
  const bool polls = waiting != Waiting::none || agent.waited > 0;
  auto output = without_noise(call.output);
  if (call.output_bytes > 0) output += "\n<" + std::to_string(call.output_bytes) + " bytes>";
  if (call.tool == "shell") {
    const bool told = flooding_.erase(short_digest(call.command)) > 0;
    const auto bytes = std::max(call.output_bytes, static_cast<std::int64_t>(call.output.size()));
    if (!told) found = flood(call.agent, call.command, {bytes, output_lines(call.output)});
  }
  if (is_edit(call)) edited(agent, call, found);
  if (!is_edit(call)) repeated(agent, call, output, polls, found);
  failing(agent, call, output, polls, found);
  if (waiting != Waiting::only) cycling(agent, call, output, polls, found);
}

void NoProgress::edited(Agent& agent, const FinishedCall& call, Found& found) {
  bool news = false;
  for (const auto& change : call.changes) {
    const bool known = same_edit(agent, call, change, found);
    const bool back = reversed(agent, call, change, found);
    news = news || !(known || back);
  }
  if (!news) return;
  ++agent.news;
  ++agent.changes;
}

// Whether it was made before.
bool NoProgress::same_edit(Agent& agent, const FinishedCall& call, const FinishedCall::Change& change,
                           Found& found) {
  const auto edit_digest = digest(change.diff);
  const auto key = short_digest("edit\n" + edit_digest + "\n" + change.path);
  auto& count = bounded(agent.edits)[key];
  if (++count.seen < rules_.after(Signal::repeated_edit)) return count.seen > 1;
  report(Signal::repeated_edit, key, call.agent,
         {{"reason", "The same edit was made " + times(count.seen)},
          {"occurrences", count.seen},
          {"path", change.path},
          {"editDigest", edit_digest}},
         found);
  return true;
}

// Whether it brings back what the change before it of the same place took away.
bool NoProgress::reversed(Agent& agent, const FinishedCall& call, const FinishedCall::Change& change,
                          Found& found) {
  auto sides = sides_of(change.diff);
  if (is_whole(change)) {
    const auto known = agent.contents.find(change.path);
    sides.before = known == agent.contents.end() ? 0 : known->second;
    sides.after = change.kind == "delete" ? 1 : short_digest(change.diff);
    bounded(agent.contents)[change.path] = sides.after;
  }
  if (sides.before == sides.after) return false;
  const auto [low, high] = std::minmax(sides.before, sides.after);
  const auto key = short_digest("swap\n" + text(low) + "\n" + text(high) + "\n" + change.path);
  auto [swap, first] = bounded(agent.swaps).try_emplace(key, sides.after, 0);
  const bool back = !first && swap->second.first == sides.before;
  swap->second.first = sides.after;
  if (!back) return false;
  if (++swap->second.second < rules_.after(Signal::reverted_edit)) return true;
  report(Signal::reverted_edit, key, call.agent,
         {{"reason", "Changes of one file undid each other " + times(swap->second.second)},
          {"occurrences", swap->second.second},
          {"path", change.path}},
         found);
  return true;
}

void NoProgress::repeated(Agent& agent, const FinishedCall& call, const std::string& output, bool polls,
                          Found& found) {
  const bool shell = call.tool == "shell";
  const auto asked = std::string(shell ? call.command : call.input);
  const auto key =
      short_digest(std::string(call.tool) + "\n" + exit_text(call) + "\n" + digest(output) + "\n" + asked);
  auto& count = bounded(agent.results)[key];
  const bool success = succeeded(call);
  const bool is_new = count.seen == 0 && count.era == 0;
  if (is_new && success) {
    ++agent.news;
    if (!only_looks(call)) ++agent.changes;
  }
  // A failure stays one until something has changed.
  const auto era = (success ? agent.news : agent.changes) + 1;
  if (count.era != era) count = {0, era};
  const auto signal = shell ? Signal::repeated_command : Signal::repeated_call;
  if (++count.seen < std::max(rules_.after(signal), polls ? rules_.polls : 0)) return;
  json::object fields{{"reason", "The same " + std::string(shell ? "command" : "call") +
                                     " gave the same result " + times(count.seen)},
                      {"occurrences", count.seen}};
  if (shell) {
    fields["command"] = base::cut_utf8(call.command, shown_bytes);
    if (call.exit_code) fields["exitCode"] = *call.exit_code;
  } else {
    fields["tool"] = call.tool;
    fields["title"] = call.title;
  }
  fields["outputDigest"] = digest(call.output);
  report(signal, key, call.agent, std::move(fields), found);
}

void NoProgress::failing(Agent& agent, const FinishedCall& call, const std::string& output, bool polls,
                         Found& found) {
  const int patience = polls ? rules_.polls : 0;
  // A search that finds nothing is no failure.
  const bool failed = !succeeded(call) && !(call.exit_code == 1 && output.empty());
  agent.failures = failed ? agent.failures + 1 : succeeded(call) ? 0 : agent.failures;
  const auto error = failed ? error_of(output) : ErrorSignature();
  const auto asked = short_digest(std::string(call.tool) + "\n" +
                                  std::string(call.tool == "shell" ? call.command : call.input));
  auto& last = bounded(agent.last_errors)[asked];
  // The error has gone from where it was.
  if (last != 0 && last != error.digest) agent.errors.erase(last);
  last = error.digest;
  if (error.digest != 0) {
    const int seen = ++bounded(agent.errors)[error.digest];
    if (seen >= std::max(rules_.after(Signal::error_loop), patience))
      report(Signal::error_loop, error.digest, call.agent,
             {{"reason", "The same error came " + times(seen)}, {"occurrences", seen}, {"error", error.line}},
             found);
  }
  if (agent.failures < std::max(rules_.failures, patience)) return;
  json::object fields{{"reason", std::to_string(agent.failures) + " calls failed one after the other"},
                      {"occurrences", agent.failures}};
  if (!error.line.empty()) fields["error"] = error.line;
  report(Signal::error_loop, 0, call.agent, std::move(fields), found);
}

// How often the last `period` steps stand there one after the other; 0 when they are all the same.
int NoProgress::rounds_of(const Agent& agent, std::size_t period) const {
  const auto& steps = agent.steps;
  if (steps.size() < period) return 0;
  const auto last = steps.size();
  const auto key = [&](std::size_t back) { return steps[last - 1 - back].key; };
  bool varied = false;
  for (std::size_t i = 1; i < period; ++i) varied = varied || key(i) != key(0);
  if (!varied) return 0;
  std::size_t same = 0;
  while (same + period < last && key(same) == key(same + period)) ++same;
  return static_cast<int>(same / period + 1);
}

void NoProgress::cycling(Agent& agent, const FinishedCall& call, const std::string& output, bool polls,
                         Found& found) {
  std::string step = std::string(call.tool) + "\n" + exit_text(call) + "\n" + std::string(call.command) +
                     "\n" + std::string(call.input);
  for (const auto& change : call.changes) step += "\n" + change.path + "\n" + digest(change.diff);
  if (!is_edit(call)) step += "\n" + digest(output);
  const auto& shown = call.title.empty() ? call.command : call.title;
  agent.steps.push_back({short_digest(step), polls, std::string(base::cut_utf8(shown, title_bytes))});
  const auto most =
      static_cast<std::size_t>(3 * (std::max(rules_.polls, rules_.after(Signal::ping_pong)) + 1));
  if (agent.steps.size() > most) agent.steps.pop_front();
  for (const std::size_t period : {2u, 3u}) {
    const int rounds = rounds_of(agent, period);
    if (rounds < rules_.after(Signal::ping_pong)) continue;
    std::array<std::uint64_t, 3> keys{};
    json::array cycle;
    bool polling = false;
    for (std::size_t i = period; i-- > 0;) {
      const auto& one = agent.steps[agent.steps.size() - 1 - i];
      keys[i] = one.key;
      polling = polling || one.polls;
      cycle.emplace_back(one.title);
    }
    if (polling && rounds < rules_.polls) continue;
    std::ranges::sort(keys);
    report(Signal::ping_pong, short_digest(text(keys[0]) + text(keys[1]) + text(keys[2])), call.agent,
           {{"reason",
             "The same " + std::to_string(period) + " calls gave the same results in turn, " + times(rounds)},
            {"occurrences", rounds},
            {"cycle", std::move(cycle)}},
           found);
  }
}

NoProgress::Found NoProgress::running(std::string_view agent, std::string_view command, Written so_far) {
  if (so_far.bytes < std::int64_t{1024} * rules_.command_kib) return {};
  auto found = flooding_.contains(short_digest(command)) ? Found() : flood(agent, command, so_far);
  if (flooding_.size() < max_keys) flooding_.insert(short_digest(command));
  return found;
}

NoProgress::Found NoProgress::flood(std::string_view agent, std::string_view command, Written written) {
  Found found;
  if (written.bytes < std::int64_t{1024} * rules_.command_kib) return found;
  report(Signal::long_output_without_state, short_digest(command), agent,
         {{"reason", "A command wrote " + std::to_string(written.bytes / 1024) + " KiB"},
          {"outputLines", written.lines},
          {"outputBytes", written.bytes},
          {"command", base::cut_utf8(command, shown_bytes)}},
         found);
  return found;
}

NoProgress::Found NoProgress::raw_output(std::string_view bytes) {
  Found found;
  for (const char c : bytes) {
    if (c == '\n') {
      if (raw_line_open_) ++raw_lines_;
      raw_line_open_ = false;
    } else if (c != ' ' && c != '\t' && c != '\r') {
      raw_line_open_ = true;
    }
  }
  if (raw_lines_ < rules_.after(Signal::long_output_without_state)) return found;
  report(
      Signal::long_output_without_state, 0, {},
      {{"reason", "The agent wrote " + std::to_string(raw_lines_) + " lines that say nothing of its state"},
       {"outputLines", raw_lines_}},
      found);
  raw_lines_ = 0;
  return found;
}

NoProgress::Found NoProgress::silent(std::chrono::milliseconds time) {
  Found found;
  if (time < std::chrono::seconds(rules_.after(Signal::long_silence))) return found;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time).count();
  report(Signal::long_silence, 0, {},
         {{"reason",
           "The agent said nothing for " + std::to_string(seconds) + " s although nothing was going on"},
          {"silentMs", time.count()}},
         found);
  return found;
}

}  // namespace agentrouter::policy
