// The sessions of tests/progress, recorded from the real CLIs, through the adapters: those that make progress
// give no signal, the others one of those that they were made for. AGENTROUTER_ACCEPT=1 rewrites what was
// found, of which tests/progress/score makes precision and recall.

#include <gtest/gtest.h>

#include "agents/claude/claude_session.h"
#include "agents/codex/codex_session.h"
#include "agents/transcript_test.h"
#include "base/gzip.h"
#include "policy/no_progress.h"

namespace agentrouter::agents {
namespace {

using namespace transcripts;

const fs::path corpus = fs::path(AGENTROUTER_SOURCE_DIR) / "tests/progress";
constexpr std::size_t transcript_bytes = 16u << 20;

std::vector<std::string> sessions() {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(corpus / "corpus")) {
    const auto name = entry.path().filename().string();
    if (name.ends_with(".transcript.gz")) found.push_back(name.substr(0, name.size() - 14));
  }
  std::sort(found.begin(), found.end());
  return found;
}

TurnSpec spec_of(const Segment& segment, policy::NoProgress& progress) {
  TurnSpec spec{.model = "any", .prompt = "please do it", .progress = &progress};
  for (const auto& step : segment) {
    if (step.kind == '!' && step.text.size() > 6 && step.text.starts_with("start "))
      spec.resume_thread = step.text.substr(6);
  }
  return spec;
}

struct Replay {
  int calls = 0;
  std::string outcome;
  json::array found;  // of signals, and after how many calls
};

void add(Replay& replay, const json::array& outputs) {
  for (const auto& output : outputs) {
    const auto& object = output.as_object();
    if (object.contains("outcome")) replay.outcome = object.at("outcome").as_string();
    const auto type = base::get_string(object, "event").value_or("");
    if (type == "agent.tool_completed") ++replay.calls;
    if (type != "agent.no_progress") continue;
    auto signal = object.at("payload").as_object();
    json::object kept{{"call", replay.calls}};
    for (const auto* key : {"signal", "reason", "parentCallId"})
      if (signal.contains(key)) kept[key] = signal.at(key);
    replay.found.push_back(std::move(kept));
  }
}

Replay replay_of(const std::string& name) {
  const auto bytes = base::value_or_throw(base::read_file(corpus / "corpus" / (name + ".transcript.gz")));
  const bool codex = name.ends_with(".codex");
  Replay replay;
  policy::NoProgress progress;
  for (const auto& segment : segments_of(base::value_or_throw(base::gunzip(bytes, transcript_bytes)))) {
    const Agent agent{.folder = {},
                      .make_session =
                          [&](TurnSpec spec) {
                            return codex ? make_codex_session(std::move(spec)) : make_claude_session(std::move(spec));
                          },
                      .spec_of = [&](const Segment& one) { return spec_of(one, progress); },
                      .accepted = {},
                      .kind_of = {}};
    add(replay, play(agent, segment).outputs);
  }
  return replay;
}

json::object read_json(const char* name) {
  const auto text = base::read_file(corpus / name);
  return text ? parsed(*text).as_object() : json::object();
}

TEST(ProgressCorpus, SessionsThatMakeProgressGiveNoSignalAndTheOthersTheirs) {
  const auto labels = read_json("corpus/labels.json");
  json::object found;
  for (const auto& name : sessions()) {
    ASSERT_TRUE(labels.contains(name)) << name;
    const auto replay = replay_of(name);
    EXPECT_EQ(replay.outcome, "completed") << name;
    const auto& expected = labels.at(name).at("expect").as_array();
    const bool one = std::any_of(replay.found.begin(), replay.found.end(), [&](const json::value& signal) {
      return std::find(expected.begin(), expected.end(), signal.at("signal")) != expected.end();
    });
    const bool right = expected.empty() ? replay.found.empty() : one;
    const bool known = labels.at(name).as_object().contains("known");
    EXPECT_EQ(right, !known) << name << " " << base::to_text(replay.found);
    if (expected.empty() && !known) EXPECT_GE(replay.calls, 25) << name << " is no long run";
    found[name] = json::object{{"calls", replay.calls}, {"signals", replay.found}};
  }
  std::string lines;
  for (const auto& one : found) lines += base::to_text(json::object{{"session", one.key()}, {"found", one.value()}}) + "\n";
  if (accepts()) base::value_or_throw(base::write_file_durably(corpus / "found.jsonl", lines, 0644));
  EXPECT_EQ(base::read_file(corpus / "found.jsonl").value_or(""), lines);
}

}  // namespace
}  // namespace agentrouter::agents
