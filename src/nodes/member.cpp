#include "nodes/member.h"

#include <boost/asio/post.hpp>

#include "base/json.h"
#include "base/log.h"

namespace agentrouter::nodes {

namespace {

constexpr int beats_in_a_lease = 4;
constexpr int ask_again_seconds = 5;

tl::unexpected<base::Error> unreachable(const std::string& node, const std::string& why) {
  return base::fail(base::Code::unavailable,
                    "The files of the run are on another machine (node " + node + "), " + why,
                    "worker_unreachable",
                    base::to_text(json::object{{"node", node}, {"retryAfterSeconds", ask_again_seconds}}));
}

}  // namespace

Member::Member(Needs needs, MemberConfig config, MemberHooks hooks)
    : needs_(needs),
      config_(std::move(config)),
      hooks_(std::move(hooks)),
      wake_(needs_.executor),
      answers_(needs_.executor),
      mailbox_(std::make_shared<Mailbox>(Mailbox{this})),
      scope_(needs_.executor) {
  needs_.store.add_listener(this);
}

Member::~Member() {
  needs_.store.remove_listener(this);
  mailbox_->member = nullptr;
}

void Member::notes_changed(const std::string& kind) {
  const Note note{kind == "drain", kind == "request"};
  if (note.drain || note.request) pass_on(note);
}

void Member::missed() {
  pass_on({true, true});
}

void Member::pass_on(Note note) {
  asio::post(needs_.executor, [mailbox = mailbox_, note] {
    if (mailbox->member != nullptr) mailbox->member->hear(note);
  });
}

void Member::hear(Note note) {
  beat_due_ = beat_due_ || note.drain;
  requests_due_ = requests_due_ || note.request;
  if (note.request) ++request_changes_;
  wake_.notify();
  answers_.notify();
}

base::Task<void> Member::run() {
  std::exception_ptr failure;
  try {
    co_await work();
  } catch (const std::exception&) {
    failure = std::current_exception();
  }
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await scope_.cancel_and_join();
  if (failure) std::rethrow_exception(failure);
}

std::chrono::milliseconds Member::pause() const {
  return config_.owns_store ? config_.lease : config_.lease / beats_in_a_lease;
}

base::Task<void> Member::work() {
  for (;;) {
    try {
      if (beat_due_ || base::passed(beat_at_)) {
        co_await beat();
        if (!config_.owns_store) co_await look_at_others();
      }
      if (requests_due_ && hooks_.answer) co_await take_requests();
      store_is_away_ = false;
    } catch (const base::Failure& failure) {
      beat_at_ = base::after(pause());
      if (!std::exchange(store_is_away_, true))
        base::log(base::LogLevel::warn, "the other servers do not hear of this one",
                  {{"cause", failure.error().message}});
    }
    const bool idle = !beat_due_ && (!requests_due_ || !hooks_.answer || store_is_away_);
    if (idle) co_await wake_.wait_until(beat_at_);
    // A store that is away is not asked again at once.
    if (store_is_away_ && !base::passed(beat_at_))
      co_await base::sleep_for(beat_at_ - base::SteadyClock::now());
  }
}

base::Task<void> Member::beat() {
  beat_due_ = false;
  const auto asked = base::SteadyClock::now();
  auto self = config_.self;
  self.used = hooks_.used();
  const runs::Beat mine{self.id, self.used, config_.wants};
  const auto others = config_.owns_store && !joined_ ? runs::Others::are_gone : runs::Others::may_be_there;
  const auto answer = co_await needs_.store.write([&](store::Transaction& tx) {
    if (!joined_) runs::join(tx, self, others, context());
    auto now = runs::beat(tx, mine, context());
    if (now.is_known) return now;
    // It was frozen or cut off for so long that the others forgot it.
    runs::join(tx, self, others, context());
    return runs::beat(tx, mine, context());
  });
  joined_ = true;
  beat_at_ = asked + pause();
  const bool lapsed = base::passed(held_until_);
  held_until_ = config_.owns_store ? base::Deadline::max() : asked + config_.lease * 2 / 3;
  apply(answer, lapsed);
}

void Member::apply(const runs::BeatAnswer& answer, bool lapsed) {
  if (std::exchange(draining_, answer.draining) != answer.draining) {
    base::log(base::LogLevel::info,
              answer.draining ? "draining: no new run is taken" : "not draining any more", {});
    hooks_.drain(draining_);
  }
  std::set<std::string, std::less<>> duties(answer.duties.begin(), answer.duties.end());
  if (duties == duties_ && !(lapsed && !duties.empty())) return;
  duties_ = std::move(duties);
  hooks_.duties_changed();
}

bool Member::has(std::string_view duty) const {
  return duties_.contains(duty) && !base::passed(held_until_);
}

base::Task<void> Member::look_at_others() {
  const auto beats =
      co_await needs_.store.read([](store::Reader& reader) { return runs::beats_of_all(reader); });
  const auto now = base::SteadyClock::now();
  std::map<std::string, Seen> seen;
  for (const auto& one : beats) {
    const auto known = seen_.find(one.id);
    const bool moved = known == seen_.end() || known->second.beats != one.beats;
    const auto since = moved ? now : known->second.since;
    if (one.id == config_.self.id || now < since + config_.lease) {
      seen.emplace(one.id, Seen{one.beats, since});
      continue;
    }
    const bool gone =
        co_await needs_.store.write([&one](store::Transaction& tx) { return runs::forget_node(tx, one); });
    if (!gone) continue;
    base::log(base::LogLevel::warn, "a server is gone", {{"node", one.id}});
    beat_due_ = true;  // its duties are free
  }
  seen_ = std::move(seen);
}

base::Task<void> Member::take_requests() {
  requests_due_ = false;
  auto open = co_await needs_.store.read(
      [this](store::Reader& reader) { return runs::requests_for(reader, config_.self.id); });
  for (auto& request : open) {
    if (under_way_.insert(request.id).second) scope_.spawn(answer(std::move(request)));
  }
}

base::Task<void> Member::answer(runs::NodeRequest request) {
  const auto id = request.id;
  auto done = co_await hooks_.answer(std::move(request));
  done.answered = true;
  bool wanted = false;
  try {
    wanted = co_await needs_.store.write(
        [&done](store::Transaction& tx) { return runs::answer_request(tx, done); });
  } catch (const base::Failure& failure) {
    base::log(base::LogLevel::warn, "an answer to another server could not be stored",
              {{"runId", done.run.str()}, {"cause", failure.error().message}});
  }
  if (!wanted && !done.key.empty()) hooks_.discard(done.key);
  under_way_.erase(id);
}

base::Task<std::optional<runs::NodeRequest>> Member::wait_for(const runs::NodeRequest& asked,
                                                              base::Deadline deadline) {
  for (;;) {
    const auto changes = request_changes_;
    auto found = co_await needs_.store.read(
        [&asked](store::Reader& reader) { return runs::node_request(reader, asked); });
    if (!found || found->answered) co_return found;
    while (request_changes_ == changes && !base::passed(deadline)) co_await answers_.wait_until(deadline);
    if (base::passed(deadline)) co_return std::nullopt;
  }
}

base::Task<base::Result<runs::NodeRequest>> Member::ask(std::string node, model::RunId run, std::string what,
                                                        std::chrono::milliseconds patience) {
  const runs::NodeRequest asked{.id = base::new_uuid(needs_.entropy),
                                .node = node,
                                .asker = config_.self.id,
                                .run = std::move(run),
                                .what = std::move(what),
                                .asked_at = needs_.clock.now()};
  const bool is_there = co_await needs_.store.write([&asked](store::Transaction& tx) {
    if (!runs::node(tx, asked.node)) return false;
    runs::ask_node(tx, asked);
    return true;
  });
  if (!is_there) co_return unreachable(node, "which is not there");
  const auto answer = co_await wait_for(asked, base::after(patience));
  co_await needs_.store.write([&asked](store::Transaction& tx) { runs::forget_request(tx, asked); });
  if (!answer) co_return unreachable(node, "which does not answer");
  if (answer->error) co_return tl::unexpected(*answer->error);
  co_return std::move(*answer);
}

base::Task<void> Member::leave() {
  if (!joined_) co_return;
  try {
    co_await needs_.store.write([this](store::Transaction& tx) { runs::leave(tx, config_.self.id); });
    joined_ = false;
  } catch (const base::Failure& failure) {
    base::log(base::LogLevel::warn, "the other servers wait for the end of this one's lease",
              {{"cause", failure.error().message}});
  }
}

}  // namespace agentrouter::nodes
