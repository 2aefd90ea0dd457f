// The end of an attempt: what it leaves behind, the teardown, and the `exit` record.

#include "base/log.h"
#include "keeper/attempt.h"
#include "keeper/clean_file.h"

namespace agentrouter::keeper {
namespace {

json::object patch_json(const workspace::CollectReport::Patch& patch, bool redacted) {
  json::object made{{"bytes", patch.bytes}, {"sha256", patch.sha256}, {"truncated", patch.truncated}};
  if (redacted) made["redacted"] = true;
  return made;
}

}  // namespace

base::Task<void> Attempt::finish() {
  files_open_ = false;
  co_await close_egress();
  (void)needs_.sandbox.kill_all();
  notices_.poll();
  if (!notices_.gone()) {
    auto collected = co_await collect_changes(needs_.sandbox, notices_, needs_.attempt_dir, turn_start());
    if (collected && clean_changes(*collected)) changes_ = std::move(*collected);
    if (released_) co_await save();
  } else if (released_) {
    checkpoint_error_ = "cannot keep the state: the sandbox had gone before";
  }
  const auto proof = needs_.sandbox.destroy();
  gone_ = proof && proof->init_gone && proof->cgroup_empty.value_or(true);
  if (!gone_ && result_.kind == Result::Kind::completed) {
    result_.kind = Result::Kind::failed;
    set_failure("worker_failed", "The sandbox could not be removed");
  }
  needs_.recorder.last(exit_record());
}

// Secrets in the artifacts of what the agent has changed. False: they could not be looked through, and are none.
bool Attempt::clean_changes(workspace::CollectReport& report) {
  const auto clean = [this](const char* name, base::Redactor::Text kind, auto& part, bool& redacted) {
    auto cleaned = clean_lines(needs_.attempt_dir, name, needs_.recorder.redactor(), kind);
    if (!cleaned)
      base::log(base::LogLevel::error, "what a run has changed cannot be kept", {{"cause", cleaned.error().message}});
    if (!cleaned || !cleaned->found) return cleaned.has_value();
    redacted = true;
    part.bytes = cleaned->bytes;
    part.sha256 = std::move(cleaned->sha256);
    return true;
  };
  using Text = base::Redactor::Text;
  return clean("index.json", Text::json, report.index, redacted_.index) &&
         clean("changes.patch", Text::plain, report.patch, redacted_.patch) &&
         (!report.turn_patch || clean(turn_patch_file, Text::plain, *report.turn_patch, redacted_.turn_patch));
}

// What the next turn of the conversation begins with. A run without it ends as it would have ended.
base::Task<void> Attempt::save() {
  constexpr std::string_view home = "/home/agent/";
  std::vector<std::string> left_out = needs_.plan.program.caches;
  for (const auto& file : needs_.plan.program.files) {
    if (file.path.starts_with(home)) left_out.push_back(file.path.substr(home.size()));
  }
  auto saved = co_await save_checkpoint(needs_.sandbox, notices_, needs_.attempt_dir, left_out);
  if (saved) {
    checkpoint_ = std::move(*saved);
  } else {
    checkpoint_error_ = saved.error().message;
  }
}

json::object Attempt::exit_record() {
  const bool failed = result_.kind == Result::Kind::failed;
  if (failed && result_.failure.code.empty())
    set_failure("worker_failed", "The attempt ended without a result");
  json::object exit{{"outcome", failed                                    ? "failed"
                                : result_.kind == Result::Kind::completed ? "completed"
                                                                          : "cancelled"}};
  if (failed) exit["failure"] = result_.failure.to_json();
  put_answer(exit);
  put_usage(exit);
  if (result_.exit_code) exit["exitCode"] = *result_.exit_code;
  put_changes(exit);
  put_checkpoint(exit);
  exit["stdout"] = json::object{{"bytes", stdout_log_ ? stdout_log_->bytes() : 0}};
  exit["stderr"] = json::object{{"bytes", stderr_log_ ? stderr_log_->bytes() : 0}};
  json::object made{{"limits", sandbox::to_string(needs_.sandbox.limits())},
                    {"isolation", model::to_string(needs_.plan.isolation)},
                    {"gone", gone_}};
  put_driver(made);
  exit["sandbox"] = std::move(made);
  return exit;
}

void Attempt::put_answer(json::object& exit) {
  if (result_.outcome) {
    // The reserve of a full journal has room for the exit, not for a long answer.
    const bool fits = result_.failure.code != "storage_full";
    std::string text = fits ? std::move(result_.outcome->response_text) : std::string();
    if (!text.empty()) exit["responseText"] = text;
    exit["responseEventType"] = result_.outcome->response_event_type;
  }
  const bool named = result_.outcome && !result_.outcome->thread_id.empty();
  exit["threadId"] = named   ? result_.outcome->thread_id
                     : turn_ ? turn_->thread_id()
                             : needs_.plan.resume_thread;
}

void Attempt::put_usage(json::object& exit) const {
  auto usage = watch_.usage(usage_of_agent());
  const auto cost = result_.outcome ? result_.outcome->cost_usd : std::nullopt;
  if (cost || earlier_cost_ > 0) {
    usage["costUsd"] = earlier_cost_ + cost.value_or(0);
  } else if (const auto own = spending_.cost()) {
    usage["costUsd"] = policy::usd_of(*own);
  }
  exit["usage"] = std::move(usage);
  exit["used"] = limits_.used();
  exit["provider"] = to_string(needs_.plan.provider);
  if (tape_.recorded()) exit["cassette"] = *tape_.recorded();
}

void Attempt::put_changes(json::object& exit) const {
  exit["index"] = nullptr;
  exit["patch"] = nullptr;
  if (!changes_) return;
  json::object index{{"bytes", changes_->index.bytes},
                     {"sha256", changes_->index.sha256},
                     {"files", changes_->index.files},
                     {"truncated", changes_->index.truncated}};
  if (redacted_.index) index["redacted"] = true;
  exit["index"] = std::move(index);
  exit["patch"] = patch_json(changes_->patch, redacted_.patch);
  if (changes_->turn_patch) exit["turnPatch"] = patch_json(*changes_->turn_patch, redacted_.turn_patch);
}

void Attempt::put_checkpoint(json::object& exit) const {
  exit["checkpoint"] = nullptr;
  if (checkpoint_) {
    json::object checkpoint{{"bytes", checkpoint_->bytes}, {"sha256", checkpoint_->sha256}};
    if (checkpoint_->layer_bytes) checkpoint["layerBytes"] = *checkpoint_->layer_bytes;
    exit["checkpoint"] = std::move(checkpoint);
  } else if (!checkpoint_error_.empty()) {
    exit["checkpointError"] = checkpoint_error_;
  }
}

// Which driver made the sandbox, of what.
void Attempt::put_driver(json::object& into) const {
  const auto& plan = needs_.plan;
  const auto driver = plan.image.empty() ? sandbox::Driver::process : sandbox::Driver::oci;
  into["driver"] = sandbox::to_string(driver);
  if (plan.image.empty()) return;
  into["image"] = plan.image;
  into["imageDigest"] = plan.image_digest;
}

}  // namespace agentrouter::keeper
