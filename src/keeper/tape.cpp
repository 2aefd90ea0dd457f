#include "keeper/tape.h"

#include <fcntl.h>

#include <cerrno>

#include "keeper/replay_diff.h"

namespace agentrouter::keeper {
namespace {

constexpr std::size_t shown_diff_bytes = 2048;  // in the failure

}  // namespace

base::Result<void> Tape::open(egress::Config& config, std::function<void(model::RunFailure)> fail) {
  fail_ = std::move(fail);
  if (plan_.provider == Provider::replay) return open_player(config);
  if (!plan_.cassette.empty()) return open_writer(config);
  return {};
}

base::Result<void> Tape::open_player(egress::Config& config) {
  const base::Fd file(::openat(attempt_dir_, cassette_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return base::fail_errno("cannot open the cassette", errno);
  AGENTROUTER_TRY(egress::Cassette cassette, egress::Cassette::read(file.get()));
  player_ = std::make_unique<egress::CassettePlayer>(
      std::move(cassette), recorder_.redactor(), [this](const egress::ReplayMismatch& mismatch) { report(mismatch); });
  config.player = player_.get();
  return {};
}

base::Result<void> Tape::open_writer(egress::Config& config) {
  file_ = base::Fd(::openat(attempt_dir_, recording_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file_) return base::fail_errno("cannot make the cassette", errno);
  const egress::CassetteLabel label{std::string(model::to_string(plan_.runtime.kind)), plan_.model};
  writer_ = std::make_unique<egress::CassetteWriter>(file_.get(), label, recorder_.redactor());
  config.recorder = writer_.get();
  return {};
}

void Tape::report(const egress::ReplayMismatch& mismatch) {
  const std::string place = "request " + std::to_string(mismatch.number) + " of the cassette \"" + plan_.cassette + "\"";
  model::RunFailure failure{"replay_mismatch",
                            mismatch.expected ? "The agent asked its provider something else than " + place + ":\n" +
                                                    replay_diff(mismatch, shown_diff_bytes)
                                              : "The agent asked its provider more than the cassette \"" +
                                                    plan_.cassette + "\" has: " + mismatch.asked.method + " " +
                                                    mismatch.asked.path,
                            mismatch.expected ? "different_request" : "no_more_requests"};
  try {
    recorder_.event("replay.mismatch", model::Visibility::open,
                    {{"cassette", plan_.cassette},
                     {"request", mismatch.number},
                     {"method", mismatch.asked.method},
                     {"path", mismatch.asked.path},
                     {"diff", replay_diff(mismatch)}});
  } catch (const base::Failure&) {
    // The journal is full: the turn ends for that as soon as anything else is said.
  }
  fail_(std::move(failure));
}

void Tape::close() {
  if (player_) {
    recorder_.event("replay.completed", model::Visibility::open,
                    {{"cassette", plan_.cassette}, {"requests", player_->requests()}, {"answered", player_->answered()}});
    player_.reset();
  }
  if (!writer_) return;
  json::object said{{"cassette", plan_.cassette}, {"requests", writer_->requests()}};
  const auto ended = writer_->end();
  if (ended) {
    recorded_ = json::object{{"name", plan_.cassette}, {"requests", writer_->requests()}};
  } else {
    said["error"] = ended.error().message;
  }
  writer_.reset();
  recorder_.event("cassette.recorded", model::Visibility::open, std::move(said));
}

}  // namespace agentrouter::keeper
