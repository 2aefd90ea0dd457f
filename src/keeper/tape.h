#pragma once
// Where the provider traffic of an attempt is recorded, or comes from: its cassette (egress/cassette.h). A
// recording lies in the attempt's folder until the worker takes it away; what is played was put there by it.

#include <functional>
#include <memory>
#include <optional>

#include "egress/cassette.h"
#include "egress/egress.h"
#include "keeper/plan.h"
#include "keeper/recorder.h"

namespace agentrouter::keeper {

// Files below the attempt's folder.
inline constexpr const char* recording_file = "recording.jsonl";
inline constexpr const char* cassette_file = "cassette.jsonl";
// The most that either may have.
inline constexpr std::uint64_t cassette_file_bytes = egress::cassette_bytes;

class Tape {
 public:
  // The references outlive it.
  Tape(Recorder& recorder, const AttemptPlan& plan, int attempt_dir)
      : recorder_(recorder), plan_(plan), attempt_dir_(attempt_dir) {}

  // Puts what the plan wants into the egress's configuration. `fail` ends the turn when the agent asks something else
  // than the cassette has. Errors: those of Cassette::read and of making the file.
  [[nodiscard]] base::Result<void> open(egress::Config& config, std::function<void(model::RunFailure)> fail);
  // No request is under way any more: completes the recording and says what came of it. Throws Failure as the
  // recorder does.
  void close();
  // Of the `exit` record: {name, requests} of a complete recording.
  [[nodiscard]] const std::optional<json::object>& recorded() const { return recorded_; }

 private:
  base::Result<void> open_player(egress::Config& config);
  base::Result<void> open_writer(egress::Config& config);
  void report(const egress::ReplayMismatch& mismatch);

  Recorder& recorder_;
  const AttemptPlan& plan_;
  int attempt_dir_;
  std::function<void(model::RunFailure)> fail_;
  base::Fd file_;
  std::unique_ptr<egress::CassetteWriter> writer_;
  std::unique_ptr<egress::CassettePlayer> player_;
  std::optional<json::object> recorded_;
};

}  // namespace agentrouter::keeper
