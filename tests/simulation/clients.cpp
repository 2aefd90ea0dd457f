#include "clients.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/system/system_error.hpp>

#include "runs/cancel.h"
#include "runs/create.h"
#include "runs/decide.h"
#include "runs/delete.h"

namespace agentrouter::simulation {

using namespace std::chrono_literals;

Clients::Clients(Needs needs) : needs_(needs), random_(needs.loop.random.part()) {
  for (int i = 0; i < needs_.runs; ++i) {
    Wish wish;
    wish.key = "key-" + std::to_string(i);
    wish.task = "task " + std::to_string(i);
    wish.action_scope = random_.once_in(3);
    wish.approval_mode = random_.once_in(3) ? 1 : random_.once_in(15) ? 2 : 0;
    if (random_.once_in(4)) wish.timeout_s = random_.between(1, 30);
    wishes_.push_back(wish);
  }
  tick();
}

void Clients::connected(const std::shared_ptr<Process>& server, store::Store& store, stream::Hub& hub) {
  server_ = server;
  store_ = &store;
  hub_ = &hub;
  ++life_;
}

// Nothing of the old server is destroyed, and nothing of it is heard of any more.
void Clients::disconnected() {
  server_.reset();
  store_ = nullptr;
  hub_ = nullptr;
  ++life_;
  for (auto& wish : wishes_) wish.under_way = false;
  for (auto& follower : followers_) {
    follower.under_way = false;
    (void)follower.subscription.release();
  }
}

void Clients::tick() {
  needs_.loop.after(Duration(std::chrono::milliseconds(random_.between(1, hurries_ ? 100 : 400))), "client", [this] {
    if (server_ && server_->alive && !server_->paused) needs_.loop.run_in(*server_, [this] { act(); });
    tick();
  });
}

void Clients::act() {
  for (auto& follower : followers_) {
    if (follower.ended || follower.under_way || !random_.once_in(hurries_ ? 1 : 3)) continue;
    follow(follower);
  }
  const auto choice = hurries_ ? random_.below(2) : random_.below(14);
  if (choice == 0 || choice > 7) {
    for (auto& wish : wishes_) {
      // Twice at once now and then: the key makes it one.
      if (wish.done || (wish.under_way && !random_.once_in(10))) continue;
      return create(wish);
    }
  }
  if (choice <= 4) return spawn(do_decide(life_));
  const auto run = any_run();
  if (run.empty()) return;
  if (choice == 5 && random_.once_in(2)) return spawn(do_cancel(model::RunId(run)));
  if (choice == 6) return spawn(do_continue(model::RunId(run), "continue-" + std::to_string(random_.below(1000))));
  if (choice == 7 && random_.once_in(4)) return spawn(do_close(model::RunId(run)));
  if (choice == 7 && random_.once_in(3)) return spawn(do_delete(model::RunId(run)));
}

std::string Clients::any_run() {
  return runs_.empty() ? std::string() : runs_[random_.below(runs_.size())];
}

void Clients::spawn(base::Task<void> task) {
  asio::co_spawn(server_->executor(), std::move(task), [this](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const base::Failure& failure) {
      // The disk refuses: an answer like another.
      if (failure.error().code != base::Code::unavailable) needs_.checker.fail(std::string("a request got ") + failure.what());
    } catch (const std::exception& other) {
      needs_.checker.fail(std::string("a request got ") + other.what());
    }
  });
}

void Clients::create(Wish& wish) {
  wish.under_way = true;
  spawn(do_create(wish, life_));
}

base::Task<void> Clients::do_create(Wish& wish, int life) {
  runs::NewRun request;
  json::object input{{"task", wish.task}};
  if (wish.action_scope) input["approvalScope"] = "action";
  request.input = base::to_text(input);
  request.task = wish.task;
  request.approval_mode = static_cast<model::ApprovalMode>(wish.approval_mode);
  request.idempotency_key = wish.key;
  if (wish.timeout_s > 0) request.approval_timeout = std::chrono::seconds(wish.timeout_s);
  const runs::Context context{needs_.loop.wall(), random_};
  struct Back {
    Wish& wish;
    ~Back() { wish.under_way = false; }
  } const back{wish};
  const auto created = co_await store_->write(
      [&request, &context](store::Transaction& tx) { return runs::create_run(tx, request, context); });
  if (life != life_ || !created) co_return;
  const auto& run = created->run.id.str();
  // The answer may be lost on its way.
  if (random_.once_in(12)) co_return;
  needs_.checker.got_run(wish.key, run);
  if (std::exchange(wish.done, true)) co_return;
  runs_.push_back(run);
  const auto followers = random_.below(3);
  for (std::uint64_t i = 0; i < followers; ++i) followers_.push_back({.run = run, .subscription = {}});
}

base::Task<void> Clients::do_decide(int life) {
  const auto pending = co_await store_->read(
      [](store::Reader& reader) { return reader.pending_approvals(store::PendingQuery{}); });
  if (pending.empty() || life != life_) co_return;
  const auto& approval = pending[random_.below(pending.size())];
  const bool approves = !random_.once_in(4);
  const runs::DecisionRequest request{.run = approval.run_id,
                                      .action = approval.action_id,
                                      .action_digest = approval.action_digest,
                                      .decision = approves ? runs::Decision::approved : runs::Decision::denied,
                                      .reason = {},
                                      .idempotency_key = random_.once_in(2) ? "decide-" + approval.action_id.str() : ""};
  needs_.checker.sent_decision(approval.action_id.str(), approval.action_digest, approves);
  const runs::Context context{needs_.loop.wall(), random_};
  const auto decided = co_await store_->write(
      [&request, &context](store::Transaction& tx) { return runs::decide_action(tx, request, context); });
  if (life == life_ && decided) needs_.checker.got_decision(approval.action_id.str(), approves);
}

base::Task<void> Clients::do_cancel(model::RunId run) {
  const runs::Context context{needs_.loop.wall(), random_};
  (void)co_await store_->write([&run, &context](store::Transaction& tx) { return runs::cancel_run(tx, run, context); });
}

base::Task<void> Clients::do_continue(model::RunId run, std::string key) {
  const int life = life_;
  const runs::ContinueRequest request{.run = run, .message = "go on", .idempotency_key = key};
  const runs::Context context{needs_.loop.wall(), random_};
  const auto continued = co_await store_->write(
      [&request, &context](store::Transaction& tx) { return runs::continue_run(tx, request, context); });
  if (life != life_ || !continued) co_return;
  needs_.checker.got_run(run.str() + key, continued->run.id.str());
  if (continued->replayed) co_return;
  runs_.push_back(continued->run.id.str());
  followers_.push_back({.run = continued->run.id.str(), .subscription = {}});
}

base::Task<void> Clients::do_close(model::RunId run) {
  const runs::Context context{needs_.loop.wall(), random_};
  (void)co_await store_->write(
      [&run, &context](store::Transaction& tx) { return runs::close_conversation(tx, run, context); });
}

base::Task<void> Clients::do_delete(model::RunId run) {
  const runs::Context context{needs_.loop.wall(), random_};
  const runs::Deletion deletion{.run = run};
  needs_.checker.sent_delete(run.str());
  (void)co_await store_->write(
      [&deletion, &context](store::Transaction& tx) { return runs::delete_run(tx, deletion, context); });
}

void Clients::follow(Follower& follower) {
  follower.under_way = true;
  spawn(do_follow(follower, life_));
}

// Follows for some batches, then its connection ends; it comes back with its cursor.
base::Task<void> Clients::do_follow(Follower& follower, int life) {
  struct Back {
    Clients& clients;
    Follower& follower;
    int life;
    ~Back() {
      if (life != clients.life_) return;
      follower.under_way = false;
      follower.subscription.reset();
    }
  } const back{*this, follower, life};
  follower.subscription = hub_->subscribe(model::RunId(follower.run), follower.cursor);
  const auto batches = random_.between(1, 12);
  for (std::int64_t i = 0; i < batches; ++i) {
    const auto batch = co_await follower.subscription->next(base::after(15s));
    for (const auto& frame : batch.frames) {
      needs_.checker.got_event(follower.run, follower.cursor, frame.sequence);
      follower.cursor = frame.sequence;
    }
    if (follower.subscription->cursor() != follower.cursor) needs_.checker.fail("a subscription's cursor is not what it gave");
    if (batch.frames.empty() && !batch.ended) needs_.checker.got_nothing(follower.run, follower.cursor);
    if (!batch.ended) continue;
    needs_.checker.got_end(follower.run, follower.cursor);
    follower.ended = true;
    co_return;
  }
}

bool Clients::content() const {
  return std::all_of(wishes_.begin(), wishes_.end(), [](const Wish& wish) { return wish.done; }) &&
         std::all_of(followers_.begin(), followers_.end(), [](const Follower& follower) { return follower.ended; });
}

std::string Clients::describe() const {
  std::string all;
  for (const auto& wish : wishes_) {
    if (!wish.done) all += " " + wish.key;
  }
  for (const auto& follower : followers_) {
    if (!follower.ended) all += " " + follower.run + "@" + std::to_string(follower.cursor);
  }
  return all;
}

}  // namespace agentrouter::simulation
