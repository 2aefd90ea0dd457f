#include "api/key_watch.h"

namespace agentrouter::api {

namespace {

// Whoever waits goes on, also when the one who asked for all was cancelled.
class Reading {
 public:
  Reading(bool& reading, base::Event& over) : reading_(reading), over_(over) { reading_ = true; }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
  ~Reading() {
    reading_ = false;
    over_.notify();
  }

 private:
  bool& reading_;
  base::Event& over_;
};

}  // namespace

base::Task<base::Result<void>> KeyWatch::check(const tenancy::Caller& caller, const std::string& workspace) {
  if (!caller.is_stored && workspace == model::default_workspace) co_return base::Result<void>{};
  if (!read_) read_.emplace(co_await base::this_executor);
  if (!next_) next_ = std::make_shared<Round>();
  const auto round = next_;
  const auto& question =
      round->questions.try_emplace({caller.key, workspace}, Question{caller}).first->second;
  while (!round->over) {
    if (reading_)
      co_await read_->wait();
    else
      co_await ask(round);
  }
  co_return question.answer;
}

base::Task<void> KeyWatch::ask(std::shared_ptr<Round> round) {
  const Reading reading(reading_, *read_);
  if (next_ == round) next_.reset();
  ++reads_;
  const auto now = clock_.now();
  std::optional<base::Error> failed;
  try {
    co_await store_.read([&round, now](store::Reader& reader) {
      for (auto& [about, question] : round->questions)
        question.answer = tenancy::check_again(reader, question.caller, about.second, now);
    });
  } catch (const base::Failure& failure) {
    failed = failure.error();
  }
  for (auto& [about, question] : round->questions)
    if (failed) question.answer = tl::unexpected(*failed);
  round->over = true;
}

}  // namespace agentrouter::api
