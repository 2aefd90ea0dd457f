#pragma once
// Tests only: transcripts that tests/golden took from the real CLIs, replayed through a session: whole, in
// pieces, and with each message broken in turn. AGENTROUTER_ACCEPT=1 rewrites what is expected.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "agents/session.h"
#include "base/file.h"

namespace agentrouter::agents::transcripts {

namespace fs = std::filesystem;

inline bool accepts() {
  return std::getenv("AGENTROUTER_ACCEPT") != nullptr;
}

inline json::value parsed(std::string_view text) {
  return base::value_or_throw(base::parse_json(text));
}

// One process of a transcript: what was said in which direction.
struct Step {
  char kind;  // '<' from the agent, '>' to it, '!' what the driver did
  std::string text;
};
using Segment = std::vector<Step>;

inline std::vector<Segment> segments_of(const std::string& text) {
  std::vector<Segment> segments;
  for (std::size_t start = 0; start < text.size();) {
    const auto end = text.find('\n', start);
    const auto line = text.substr(start, end - start);
    start = end + 1;
    if (line.starts_with("! start")) segments.emplace_back();
    segments.back().push_back({line[0], line.substr(2)});
  }
  return segments;
}

inline std::vector<Segment> load(const fs::path& path) {
  return segments_of(base::value_or_throw(base::read_file(path)));
}

inline std::vector<std::string> names(const fs::path& folder) {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".transcript") found.push_back(entry.path().stem().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

// What differs between the agents.
struct Agent {
  fs::path folder;
  std::function<std::unique_ptr<Session>(TurnSpec)> make_session;
  // The task that this segment was recorded with.
  std::function<TurnSpec(const Segment&)> spec_of;
  // The id of the question that this message to the agent accepts; empty when it accepts none.
  std::function<std::string(const json::object&)> accepted;
  // One message of each kind stands for all of its kind.
  std::function<std::string(const json::value&)> kind_of;
  // Of a message that a question comes from: everything that decides what would run. Null for any other.
  std::function<json::value(const json::value&)> what_runs;
};

inline json::object described(const Outcome& outcome) {
  json::object result;
  constexpr const char* kinds[] = {"completed", "failed", "interrupted"};
  result["outcome"] = kinds[static_cast<int>(outcome.kind)];
  if (!outcome.failure.code.empty()) {
    result["failure"] = {
        {"code", outcome.failure.code}, {"cause", outcome.failure.cause}, {"reason", outcome.failure.reason}};
  }
  result["response"] = outcome.response_text;
  result["responseEventType"] = outcome.response_event_type;
  result["thread"] = outcome.thread_id;
  if (outcome.usage) {
    result["usage"] = {outcome.usage->input_tokens, outcome.usage->cached_input_tokens,
                       outcome.usage->output_tokens, outcome.usage->reasoning_output_tokens};
  }
  if (outcome.cost_usd) result["costUsd"] = *outcome.cost_usd;
  return result;
}

// What a session put out, in order; bytes and log lines apart.
struct Record {
  json::array outputs;
  std::vector<std::string> sent;
  std::vector<std::string> log;
  int outcomes = 0;

  void add(Outputs more) {
    for (auto& output : more) {
      EXPECT_EQ(outcomes, 0) << "something follows the outcome";
      if (auto* event = std::get_if<EmitEvent>(&output)) {
        outputs.push_back(
            {{"event", event->type}, {"from", event->provider_event_type}, {"payload", event->payload}});
      } else if (auto* ask = std::get_if<Ask>(&output)) {
        outputs.push_back({{"ask", ask->ask_id},
                           {"tool", ask->tool},
                           {"title", ask->title},
                           {"args", ask->args},
                           {"callId", ask->call_id}});
      } else if (auto* withdraw = std::get_if<Withdraw>(&output)) {
        outputs.push_back(json::object{{"withdraw", withdraw->ask_id}});
      } else if (auto* bytes = std::get_if<SendBytes>(&output)) {
        sent.push_back(bytes->bytes);
      } else if (auto* line = std::get_if<LogLine>(&output)) {
        log.push_back(line->line);
      } else {
        ++outcomes;
        outputs.push_back(described(std::get<Outcome>(output)));
      }
    }
  }
};

enum class Cut { lines, bytes, glued };

inline void feed(Session& session, Record& record, const std::string& line, Cut cut) {
  if (cut != Cut::bytes) return record.add(session.feed(line + "\n"));
  for (const char byte : line + "\n") record.add(session.feed({&byte, 1}));
}

// Plays a segment as it was recorded, decisions included.
inline Record play(const Agent& agent, const Segment& segment, Cut cut = Cut::lines) {
  const auto session = agent.make_session(agent.spec_of(segment));
  Record record;
  record.add(session->start());
  std::string glued;
  const auto flush = [&] {
    if (!glued.empty()) record.add(session->feed(std::exchange(glued, {})));
  };
  for (const auto& [kind, text] : segment) {
    if (kind == '<' && cut == Cut::glued) glued += text + "\n";
    if (kind == '<' && cut != Cut::glued) feed(*session, record, text, cut);
    if (kind != '!') continue;
    flush();
    if (text == "interrupt") record.add(session->interrupt());
    if (text.starts_with("end ")) record.add(session->ended(text.substr(4)));
    if (text.starts_with("answer ")) {
      const auto blank = text.find(' ', 7);
      const auto answer = text.substr(blank + 1) == "accept" ? Answer::accept : Answer::decline;
      record.add(session->answer(text.substr(7, blank - 7), answer));
    }
  }
  return record;
}

inline void expect_recorded_outputs(const Agent& agent, const std::string& name) {
  std::string actual;
  for (const auto& segment : load(agent.folder / (name + ".transcript"))) {
    const auto record = play(agent, segment);
    EXPECT_EQ(record.outcomes, 1);
    for (const auto& output : record.outputs) actual += base::to_text(output) + "\n";
    actual += "{\"logLines\":" + std::to_string(record.log.size()) + "}\n";
  }
  const auto path = agent.folder / (name + ".expected.jsonl");
  if (accepts()) base::value_or_throw(base::write_file_durably(path, actual, 0644));
  EXPECT_EQ(base::value_or_throw(base::read_file(path)), actual);
}

inline void expect_sends_what_was_recorded(const Agent& agent, const std::string& name) {
  for (const auto& segment : load(agent.folder / (name + ".transcript"))) {
    json::array recorded;
    for (const auto& step : segment) {
      if (step.kind == '>') recorded.push_back(parsed(step.text));
    }
    json::array sent;
    for (const auto& bytes : play(agent, segment).sent) sent.push_back(parsed(bytes));
    EXPECT_EQ(sent, recorded);
  }
}

inline void expect_same_however_bytes_arrive(const Agent& agent, const std::string& name) {
  for (const auto& segment : load(agent.folder / (name + ".transcript"))) {
    const auto whole = play(agent, segment);
    for (const auto cut : {Cut::bytes, Cut::glued}) {
      const auto other = play(agent, segment, cut);
      EXPECT_EQ(other.outputs, whole.outputs);
      EXPECT_EQ(other.sent, whole.sent);
      EXPECT_EQ(other.log, whole.log);
    }
  }
}

// Drives a broken transcript as a driver would: answers every question at once (or never), and closes at the
// end.
class BrokenRun {
 public:
  enum class Driver { answers, stays_silent };
  BrokenRun(const Agent& agent, TurnSpec spec, Driver driver)
      : agent_(agent), driver_(driver), session_(agent.make_session(std::move(spec))) {
    take(session_->start());
  }
  void feed(const std::string& line) { take(session_->feed(line + "\n")); }
  // Exactly one outcome, nothing after it, and no acceptance that nobody gave.
  void close() {
    take(session_->ended("exit 0"));
    EXPECT_EQ(outcomes_, 1);
    EXPECT_TRUE(session_->feed("{}\n").empty());
    EXPECT_TRUE(session_->interrupt().empty());
    EXPECT_TRUE(session_->ended("exit 0").empty());
  }

 private:
  void take(Outputs outputs) {
    for (auto& output : outputs) {
      if (std::holds_alternative<Outcome>(output)) ++outcomes_;
      if (const auto* bytes = std::get_if<SendBytes>(&output)) check(bytes->bytes);
      const auto* ask = std::get_if<Ask>(&output);
      if (!ask || driver_ == Driver::stays_silent) continue;
      accepted_.insert(ask->ask_id);
      take(session_->answer(ask->ask_id, Answer::accept));
      EXPECT_TRUE(session_->answer(ask->ask_id, Answer::accept).empty()) << "answered twice";
    }
  }
  void check(const std::string& bytes) {
    const auto accepted = agent_.accepted(parsed(bytes).as_object());
    if (!accepted.empty()) EXPECT_EQ(accepted_.count(accepted), 1u) << bytes;
  }

  const Agent& agent_;
  Driver driver_;
  std::unique_ptr<Session> session_;
  std::set<std::string> accepted_;
  int outcomes_ = 0;
};

using Lines = std::vector<std::string>;

inline Lines said_by_agent(const Segment& segment) {
  Lines lines;
  for (const auto& step : segment) {
    if (step.kind == '<') lines.push_back(step.text);
  }
  return lines;
}

inline void expect_sound(const Agent& agent, const TurnSpec& spec, const Lines& lines,
                         BrokenRun::Driver driver = BrokenRun::Driver::answers) {
  BrokenRun run(agent, spec, driver);
  for (const auto& line : lines) run.feed(line);
  run.close();
}

// The last process of a transcript, with one message after the other broken.
class Broken {
 public:
  Broken(const Agent& agent, const std::string& name)
      : agent_(agent),
        segment_(load(agent.folder / (name + ".transcript")).back()),
        spec_(agent.spec_of(segment_)),
        lines_(said_by_agent(segment_)) {}

  void nobody_answers() const { expect_sound(agent_, spec_, lines_, BrokenRun::Driver::stays_silent); }
  void dropped() const {
    each([](Lines& lines, std::size_t i) { lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(i)); });
  }
  void repeated() const {
    each([](Lines& lines, std::size_t i) {
      const auto line = lines[i];
      lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(i), line);
    });
  }
  // Each message in the place of the next one, and at places further away.
  void reordered() const {
    for (const std::size_t distance : {1u, 2u, 5u, 11u}) {
      each([distance](Lines& lines, std::size_t i) {
        const auto other = std::min(i + distance, lines.size() - 1);
        std::rotate(lines.begin() + static_cast<std::ptrdiff_t>(i),
                    lines.begin() + static_cast<std::ptrdiff_t>(i + 1),
                    lines.begin() + static_cast<std::ptrdiff_t>(other + 1));
      });
      each([distance](Lines& lines, std::size_t i) {
        std::swap(lines[i], lines[std::min(i + distance, lines.size() - 1)]);
      });
    }
  }
  // Each message again at the end, and each answered question asked again.
  void repeated_later() const {
    each([](Lines& lines, std::size_t i) {
      const auto line = lines[i];
      lines.insert(lines.end() - 1, line);
    });
  }
  void truncated() const {
    each([](Lines& lines, std::size_t i) { lines[i].resize(lines[i].size() / 2); });
  }
  void ended_after() const {
    each([](Lines& lines, std::size_t i) { lines.resize(i); });
    expect_sound(agent_, spec_, lines_);
  }
  void replaced_by(const std::vector<std::string>& others) const {
    for (const auto& other : others) {
      each([&](Lines& lines, std::size_t i) { lines[i] = other; });
    }
  }
  void each_member_of_another_type() const;

 private:
  void each(const std::function<void(Lines&, std::size_t)>& change) const {
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      auto lines = lines_;
      change(lines, i);
      expect_sound(agent_, spec_, lines);
    }
  }

  const Agent& agent_;
  Segment segment_;
  TurnSpec spec_;
  Lines lines_;
};

// All members of the message, however deep, as paths.
inline void collect(const json::value& value, const std::string& path, std::vector<std::string>& found) {
  if (const auto* object = value.if_object()) {
    for (const auto& member : *object) {
      auto below = path + "/" + std::string(member.key());
      found.push_back(below);
      collect(member.value(), below, found);
    }
  } else if (const auto* array = value.if_array()) {
    for (std::size_t i = 0; i < array->size(); ++i)
      collect((*array)[i], path + "/" + std::to_string(i), found);
  }
}

// Digests of the questions that these messages lead to, in order. Each is answered at once.
inline std::vector<std::string> digests_of(const Agent& agent, const TurnSpec& spec, const Lines& lines) {
  const auto session = agent.make_session(spec);
  std::ignore = session->start();
  std::vector<std::string> digests;
  for (const auto& line : lines) {
    for (const auto& output : session->feed(line + "\n")) {
      const auto* ask = std::get_if<Ask>(&output);
      if (ask == nullptr) continue;
      digests.push_back(ask->input_digest);
      std::ignore = session->answer(ask->ask_id, Answer::accept);
    }
  }
  return digests;
}

// Changes one byte: another one, one less or one more.
inline void mutate(std::string& line, std::uint64_t& random) {
  random = random * 6364136223846793005u + 1442695040888963407u;
  const auto at = (random >> 33) % line.size();
  const auto byte = static_cast<char>(' ' + (random >> 20) % 95);
  switch (random >> 60 & 3) {
    case 0:
      line.erase(at, 1);
      break;
    case 1:
      line.insert(at, 1, byte);
      break;
    case 2:
      line[at] = static_cast<char>(line[at] ^ (1 << (random >> 50 & 7)));
      break;
    default:
      line[at] = byte;
  }
}

// Whatever byte of a message is changed: when the digests stay the same, so does what would run.
inline int expect_digests_cover_what_runs(const Agent& agent, const std::string& name, int changes) {
  const auto segment = load(agent.folder / (name + ".transcript")).back();
  const auto spec = agent.spec_of(segment);
  const auto lines = said_by_agent(segment);
  const auto digests = digests_of(agent, spec, lines);
  std::uint64_t random = std::hash<std::string>()(name);
  int same = 0;
  for (std::size_t i = 0; i < lines.size() && !digests.empty(); ++i) {
    const auto runs = agent.what_runs(parsed(lines[i]));
    if (runs.is_null()) continue;
    for (int change = 0; change < changes; ++change) {
      auto changed = lines;
      mutate(changed[i], random);
      if (digests_of(agent, spec, changed) != digests) continue;
      ++same;
      const auto message = base::parse_json(changed[i], {.max_depth = 120});
      EXPECT_TRUE(message && agent.what_runs(*message) == runs) << lines[i] << "\n" << changed[i];
    }
  }
  return same;
}

inline void Broken::each_member_of_another_type() const {
  std::set<std::string> seen;
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    const auto original = parsed(lines_[i]);
    if (!seen.insert(agent_.kind_of(original)).second) continue;
    std::vector<std::string> paths;
    collect(original, "", paths);
    for (const auto& path : paths) {
      auto message = original;
      auto& member = message.at_pointer(path);
      member = member.is_number() ? json::value("seven") : json::value(7);
      auto broken = lines_;
      broken[i] = base::to_text(message);
      expect_sound(agent_, spec_, broken);
    }
  }
}

}  // namespace agentrouter::agents::transcripts
