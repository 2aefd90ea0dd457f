#include "webhooks/dispatcher.h"

#include <algorithm>
#include <boost/asio/post.hpp>

#include "base/log.h"

namespace agentrouter::webhooks {

namespace {

using namespace std::chrono_literals;

constexpr auto after_trouble = 30s;
constexpr auto tidy_every = 10min;
constexpr auto longest_sleep = 24h;
constexpr int purged_at_once = 500;

base::Deadline deadline_of(base::Time time, const base::Clock& clock) {
  const auto left = std::min<base::Time::duration>(time - clock.now(), longest_sleep);
  // Rounded up: at the deadline the time is over.
  return base::after(std::max<base::Time::duration>(left + 1ms, 0ms));
}

}  // namespace

Dispatcher::Dispatcher(Needs needs, GuardRules rules, std::int64_t longest_backlog)
    : needs_(needs),
      rules_(std::move(rules)),
      longest_backlog_(longest_backlog),
      wake_(needs_.executor),
      mailbox_(std::make_shared<Mailbox>(Mailbox{this})),
      scope_(needs_.executor) {
  needs_.store.add_listener(this);
}

Dispatcher::~Dispatcher() {
  needs_.store.remove_listener(this);
  mailbox_->dispatcher = nullptr;
}

void Dispatcher::outbox_changed() {
  asio::post(needs_.executor, [mailbox = mailbox_] {
    if (mailbox->dispatcher != nullptr) mailbox->dispatcher->wake();
  });
}

void Dispatcher::wake() {
  due_ = true;
  wake_.notify();
}

base::Task<void> Dispatcher::run() {
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

base::Task<void> Dispatcher::work() {
  for (;;) {
    due_ = false;
    auto until = base::after(after_trouble);
    try {
      if (needs_.may_send()) {
        co_await tidy();
        until = co_await send_due();
      } else {
        until = base::after(longest_sleep);
      }
    } catch (const base::Failure& failure) {
      base::log(base::LogLevel::warn, "webhooks could not be looked at", {{"cause", failure.error().message}});
    }
    if (!due_) co_await wake_.wait_until(until);
  }
}

// What waits, soonest first: of each endpoint as much as may be under way, and one more to know when to look
// again.
base::Task<std::vector<Dispatcher::Due>> Dispatcher::read_due() {
  constexpr int enough = 2 * static_cast<int>(sends_per_endpoint) + 1;
  co_return co_await needs_.store.read([](store::Reader& reader) {
    std::vector<Due> all;
    for (auto& webhook : reader.webhooks()) {
      if (!webhook.enabled) continue;
      auto deliveries = reader.next_deliveries(webhook.id, enough);
      if (!deliveries.empty()) all.push_back({std::move(webhook), std::move(deliveries)});
    }
    return all;
  });
}

base::Task<base::Deadline> Dispatcher::send_due() {
  if (!base::passed(held_until_)) co_return held_until_;
  auto until = base::after(longest_sleep);
  // What ends while the store is read may be in what it says yet.
  auto before = under_way_;
  const auto all = co_await read_due();
  const auto now = needs_.clock.now();
  for (const auto& [webhook, deliveries] : all) {
    auto& busy = under_way_[webhook.id];
    const auto& ended = before[webhook.id];
    for (const auto& delivery : deliveries) {
      if (busy.contains(delivery.id) || ended.contains(delivery.id)) continue;
      if (busy.size() >= sends_per_endpoint) break;  // the end of one wakes us
      if (delivery.next_at > now) {
        until = std::min(until, deadline_of(delivery.next_at, needs_.clock));
        break;
      }
      busy.insert(delivery.id);
      scope_.spawn(send(webhook, delivery));
    }
    if (busy.empty()) under_way_.erase(webhook.id);
  }
  co_return until;
}

base::Task<void> Dispatcher::send(store::Webhook webhook, store::Delivery delivery) {
  try {
    co_await attempt(webhook, delivery);
  } catch (const base::Failure& failure) {
    // Sending it again and again while nothing can be written would flood the endpoint.
    held_until_ = base::after(after_trouble);
    base::log(base::LogLevel::warn, "what came of a message could not be stored",
              {{"webhookId", webhook.id}, {"cause", failure.error().message}});
  }
  if (const auto busy = under_way_.find(webhook.id); busy != under_way_.end()) {
    busy->second.erase(delivery.id);
    if (busy->second.empty()) under_way_.erase(busy);
  }
  wake();
}

base::Task<void> Dispatcher::attempt(const store::Webhook& webhook, const store::Delivery& delivery) {
  const auto begun = base::SteadyClock::now();
  Outcome outcome;
  std::optional<Outgoing> message;
  const auto now = needs_.clock.now();
  const auto secrets = co_await open_secrets(needs_.vault, vault::secret_place(webhook), secrets_now(webhook, now));
  if (!secrets) outcome.error = secrets.error().message;  // as good as an endpoint that does not answer
  try {
    if (secrets) message = outgoing_of(webhook, delivery, rules_, now, *secrets);
  } catch (const base::Failure& failure) {
    outcome.error = failure.error().message;  // the configuration does not name the host any more
  }
  if (message) outcome = co_await needs_.sender.send(std::move(*message));
  const auto duration = std::chrono::duration_cast<std::chrono::milliseconds>(base::SteadyClock::now() - begun);
  co_await needs_.store.write([&](store::Transaction& tx) {
    settle(tx, delivery.id, outcome, duration, context());
  });
}

// Has no timer of its own: what is to be tidied comes with commits, and once a day it is looked at anyway.
base::Task<void> Dispatcher::tidy() {
  if (!base::passed(tidy_at_)) co_return;
  tidy_at_ = base::after(tidy_every);
  const auto before = needs_.clock.now() - messages_are_kept;
  for (int gone = purged_at_once; gone == purged_at_once;) {
    gone = co_await needs_.store.write(
        [&before](store::Transaction& tx) { return tx.purge_deliveries(before, purged_at_once); });
  }
  co_await cap_backlogs();
}

base::Task<void> Dispatcher::cap_backlogs() {
  const auto full = co_await needs_.store.read([this](store::Reader& reader) {
    std::vector<std::string> ids;
    for (const auto& webhook : reader.webhooks()) {
      if (webhook.enabled && reader.pending_deliveries(webhook.id) > longest_backlog_) ids.push_back(webhook.id);
    }
    return ids;
  });
  for (const auto& id : full) {
    co_await needs_.store.write([this, &id](store::Transaction& tx) {
      auto webhook = tx.webhook(id);
      if (!webhook) return;
      webhook->enabled = false;
      webhook->disabled_reason =
          "more than " + std::to_string(longest_backlog_) + " messages waited for this endpoint";
      webhook->updated_at = needs_.clock.now();
      tx.put_webhook(*webhook);
    });
  }
}

}  // namespace agentrouter::webhooks
