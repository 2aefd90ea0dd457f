// Transcripts that tests/golden/record took from the real CLI, replayed through the session: whole, in
// pieces, and with each message broken in turn. AGENTROUTER_ACCEPT=1 rewrites what is expected.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "agents/codex/codex_program.h"
#include "agents/codex/codex_session.h"
#include "base/file.h"

namespace agentrouter::agents {
namespace {

namespace fs = std::filesystem;

const fs::path folder = fs::path(AGENTROUTER_SOURCE_DIR) / "tests/golden/codex";

bool accepts() {
  return std::getenv("AGENTROUTER_ACCEPT") != nullptr;
}

json::value parsed(std::string_view text) {
  return base::value_or_throw(base::parse_json(text));
}

// One process of a transcript: what was said in which direction.
struct Step {
  char kind;  // '<' from the agent, '>' to it, '!' what the driver did
  std::string text;
};
using Segment = std::vector<Step>;

std::vector<Segment> load(const fs::path& path) {
  std::vector<Segment> segments;
  const auto text = base::value_or_throw(base::read_file(path));
  for (std::size_t start = 0; start < text.size();) {
    const auto end = text.find('\n', start);
    const auto line = text.substr(start, end - start);
    start = end + 1;
    if (line.starts_with("! start")) segments.emplace_back();
    segments.back().push_back({line[0], line.substr(2)});
  }
  return segments;
}

std::vector<std::string> names() {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".transcript") found.push_back(entry.path().stem().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

// The task that this segment was recorded with.
TurnSpec spec_of(const Segment& segment) {
  TurnSpec spec;
  for (const auto& step : segment) {
    if (step.kind != '>') continue;
    const auto message = parsed(step.text).as_object();
    const auto method = base::get_string(message, "method").value_or("");
    if (method.starts_with("thread/")) {
      const auto& params = message.at("params").as_object();
      spec.model = base::get_string(params, "model").value_or("");
      spec.resume_thread = base::get_string(params, "threadId").value_or("");
    }
    if (method == "turn/start") {
      spec.prompt = message.at("params").at("input").at(0).at("text").as_string();
    }
  }
  return spec;
}

json::object described(const Outcome& outcome) {
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

void feed(Session& session, Record& record, const std::string& line, Cut cut) {
  if (cut != Cut::bytes) return record.add(session.feed(line + "\n"));
  for (const char byte : line + "\n") record.add(session.feed({&byte, 1}));
}

// Plays a segment as it was recorded, decisions included.
Record play(const Segment& segment, Cut cut = Cut::lines) {
  const auto session = make_codex_session(spec_of(segment));
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

class Transcript : public testing::TestWithParam<std::string> {
 protected:
  std::vector<Segment> segments_ = load(folder / (GetParam() + ".transcript"));
};

INSTANTIATE_TEST_SUITE_P(Codex, Transcript, testing::ValuesIn(names()),
                         [](const auto& info) { return info.param; });

TEST_P(Transcript, GivesTheExpectedOutputs) {
  std::string actual;
  for (const auto& segment : segments_) {
    const auto record = play(segment);
    EXPECT_EQ(record.outcomes, 1);
    for (const auto& output : record.outputs) actual += base::to_text(output) + "\n";
    actual += "{\"logLines\":" + std::to_string(record.log.size()) + "}\n";
  }
  const auto path = folder / (GetParam() + ".expected.jsonl");
  if (accepts()) base::value_or_throw(base::write_file_durably(path, actual, 0644));
  EXPECT_EQ(base::value_or_throw(base::read_file(path)), actual);
}

TEST_P(Transcript, IsWhatThisSessionWouldHaveSaid) {
  for (const auto& segment : segments_) {
    json::array recorded;
    for (const auto& step : segment) {
      if (step.kind == '>') recorded.push_back(parsed(step.text));
    }
    json::array sent;
    for (const auto& bytes : play(segment).sent) sent.push_back(parsed(bytes));
    EXPECT_EQ(sent, recorded);
  }
}

TEST_P(Transcript, MeansTheSameHoweverItsBytesArrive) {
  for (const auto& segment : segments_) {
    const auto whole = play(segment);
    for (const auto cut : {Cut::bytes, Cut::glued}) {
      const auto other = play(segment, cut);
      EXPECT_EQ(other.outputs, whole.outputs);
      EXPECT_EQ(other.sent, whole.sent);
      EXPECT_EQ(other.log, whole.log);
    }
  }
}

TEST_P(Transcript, LogHoldsJsonWithoutDeltasOrSecretsOfTheModel) {
  for (const auto& segment : segments_) {
    for (const auto& line : play(segment).log) {
      const auto message = parsed(line);
      const auto method = base::get_string(message.as_object(), "method").value_or("");
      EXPECT_FALSE(method.ends_with("elta")) << line;
      EXPECT_EQ(line.find("encrypted_content"), std::string::npos) << line;
    }
  }
}

// Drives a broken transcript as a driver would: answers every question at once (or never), and closes at the
// end.
class BrokenRun {
 public:
  enum class Driver { answers, stays_silent };
  BrokenRun(TurnSpec spec, Driver driver) : driver_(driver), session_(make_codex_session(std::move(spec))) {
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
    if (bytes.find("\"accept\"") == std::string::npos) return;
    EXPECT_EQ(accepted_.count(base::to_text(parsed(bytes).as_object().at("id"))), 1u) << bytes;
  }

  Driver driver_;
  std::unique_ptr<Session> session_;
  std::set<std::string> accepted_;
  int outcomes_ = 0;
};

using Lines = std::vector<std::string>;

Lines said_by_agent(const Segment& segment) {
  Lines lines;
  for (const auto& step : segment) {
    if (step.kind == '<') lines.push_back(step.text);
  }
  return lines;
}

void expect_sound(const TurnSpec& spec, const Lines& lines,
                  BrokenRun::Driver driver = BrokenRun::Driver::answers) {
  BrokenRun run(spec, driver);
  for (const auto& line : lines) run.feed(line);
  run.close();
}

class StepFailure : public testing::TestWithParam<std::string> {
 protected:
  Segment segment_ = load(folder / (GetParam() + ".transcript")).back();
  TurnSpec spec_ = spec_of(segment_);
  Lines lines_ = said_by_agent(segment_);
};

INSTANTIATE_TEST_SUITE_P(Codex, StepFailure, testing::Values("declined", "interrupt_asking", "fail_401"),
                         [](const auto& info) { return info.param; });

TEST_P(StepFailure, DroppedMessage) {
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    auto lines = lines_;
    lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(i));
    expect_sound(spec_, lines);
  }
}

TEST_P(StepFailure, NobodyAnswers) {
  expect_sound(spec_, lines_, BrokenRun::Driver::stays_silent);
}

TEST_P(StepFailure, RepeatedMessage) {
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    auto lines = lines_;
    lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(i), lines_[i]);
    expect_sound(spec_, lines);
  }
}

TEST_P(StepFailure, TruncatedMessage) {
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    auto lines = lines_;
    lines[i].resize(lines[i].size() / 2);
    expect_sound(spec_, lines);
  }
}

TEST_P(StepFailure, EndAfterEachMessage) {
  for (std::size_t i = 0; i <= lines_.size(); ++i)
    expect_sound(spec_, {lines_.begin(), lines_.begin() + static_cast<std::ptrdiff_t>(i)});
}

TEST_P(StepFailure, MessageOfAnotherType) {
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    for (const auto* other : {"[]", "7", "null", "{}", R"({"method":7})", R"({"id":{},"method":"x"})",
                              R"({"id":99,"result":{}})"}) {
      auto lines = lines_;
      lines[i] = other;
      expect_sound(spec_, lines);
    }
  }
}

// All members of the message, however deep, as paths.
void collect(const json::value& value, const std::string& path, std::vector<std::string>& found) {
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

// One message of each kind stands for all of its kind.
std::string kind_of(const json::value& message) {
  const auto& object = message.as_object();
  std::string kind(base::get_string(object, "method").value_or(""));
  if (kind.empty()) return base::to_text(object.at("id"));
  json::error_code missing;
  const auto* item = message.find_pointer("/params/item/type", missing);
  return item ? kind + base::to_text(*item) : kind;
}

TEST(StepFailure, EachMemberOfEachMessageMayBeOfAnotherType) {
  const auto segment = load(folder / "declined.transcript").back();
  const auto spec = spec_of(segment);
  const auto lines = said_by_agent(segment);
  std::set<std::string> seen;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto original = parsed(lines[i]);
    if (!seen.insert(kind_of(original)).second) continue;
    std::vector<std::string> paths;
    collect(original, "", paths);
    for (const auto& path : paths) {
      auto message = original;
      auto& member = message.at_pointer(path);
      member = member.is_number() ? json::value("seven") : json::value(7);
      auto broken = lines;
      broken[i] = base::to_text(message);
      expect_sound(spec, broken);
    }
  }
}

TEST(CodexProgram, ConfigIsTheOneThatTheRecordingsWereMadeWith) {
  const auto program = codex_program({.model = "gpt-5.5", .retries = codex_sim_retries});
  ASSERT_EQ(program.files.size(), 1u);
  EXPECT_EQ(program.files[0].path, "/home/agent/.codex/config.toml");
  const auto path = folder / "config.toml";
  if (accepts()) base::value_or_throw(base::write_file_durably(path, program.files[0].content, 0644));
  EXPECT_EQ(base::value_or_throw(base::read_file(path)), program.files[0].content);
}

}  // namespace
}  // namespace agentrouter::agents
