#include "runs/fork.h"

#include "base/hash.h"
#include "runs/begin.h"
#include "runs/conversations.h"
#include "runs/heir.h"
#include "runs/idempotency.h"
#include "runs/payloads.h"
#include "runs/turn_state.h"

namespace agentrouter::runs {

namespace {

tl::unexpected<base::Error> refuse(std::string message, std::string reason) {
  return base::fail(base::Code::conflict, std::move(message), std::move(reason));
}

KeyedUse use_of_fork(const ForkRequest& request) {
  if (request.idempotency_key.empty()) return {};
  json::object body;
  body["message"] = request.message;
  if (request.at_turn) body["atTurn"] = *request.at_turn;
  if (!request.limits.empty()) body["limits"] = request.limits.to_json();
  return {"POST /v1/runs/" + request.run.str() + "/fork", request.idempotency_key,
          base::Sha256::hex_of(base::to_canonical(body))};
}

base::Result<int> number_to_fork(store::Reader& reader, const model::Run& named, const ForkRequest& request,
                                 base::Time now) {
  const auto conversation = conversation_of(reader, named);
  const auto latest = reader.latest_turn(conversation.id);
  AGENTROUTER_CHECK(latest.has_value());
  const auto newest = reader.latest_checkpoint(conversation.id, latest->turn_number + 1);
  if (!newest && is_over(conversation, now))
    return refuse("the state of conversation " + conversation.id.str() + " is gone", "session_closed");
  const int found = newest ? std::clamp(newest->turn_number, 1, latest->turn_number) : latest->turn_number;
  const int number = request.at_turn.value_or(found);
  if (number <= latest->turn_number) return number;
  return base::fail(base::Code::not_found,
                    "conversation " + conversation.id.str() + " has no turn " + std::to_string(number),
                    "turn_not_found");
}

base::Result<model::Run> turn_to_fork(store::Reader& reader, const model::Run& named,
                                      const ForkRequest& request, base::Time now) {
  if (is_review(named.runtime)) return refuse("a review cannot be forked", "run_not_continuable");
  AGENTROUTER_TRY(const int number, number_to_fork(reader, named, request, now));
  auto turn = reader.turn(named.conversation_id, number);
  if (!turn)
    return base::fail(base::Code::not_found,
                      "turn " + std::to_string(number) + " of conversation " + named.conversation_id.str() +
                          " was deleted: name another one with atTurn",
                      "turn_not_found");
  if (model::is_terminal(turn->status)) return std::move(*turn);
  return refuse(
      "turn " + std::to_string(number) + " of conversation " + named.conversation_id.str() + " has not ended",
      "run_busy");
}

base::Result<store::Checkpoint> state_to_fork(store::Reader& reader, const model::Run& turn) {
  AGENTROUTER_TRY(auto state, state_after(reader, turn.conversation_id, turn.turn_number));
  if (state) return std::move(*state);
  return tl::unexpected(
      state_unavailable("no turn up to " + std::to_string(turn.turn_number) + " has left one"));
}

}  // namespace

base::Result<Forked> fork_run(store::Transaction& tx, const ForkRequest& request, Context context,
                              const SpendingRules& spending, const QueueRules& queue) {
  const auto use = use_of_fork(request);
  AGENTROUTER_TRY(const auto earlier, earlier_use(tx, use, context));
  if (earlier) {
    if (auto run = tx.run(earlier->run_id)) return Forked{std::move(*run), true};
    return tl::unexpected(run_deleted(earlier->run_id));
  }
  const auto named = tx.run(request.run);
  if (!named) return tl::unexpected(run_not_found(request.run));
  AGENTROUTER_TRY(const auto turn, turn_to_fork(tx, *named, request, context.clock.now()));
  AGENTROUTER_TRY(auto state, state_to_fork(tx, turn));
  auto run = heir_of(turn, request.message, context);
  run.conversation_id = run.id;
  run.forked_from = model::ForkOrigin{turn.id, turn.conversation_id, turn.turn_number};
  if (auto admitted = admit_spending(tx, run, request.limits, request.api_key, spending, context, &turn);
      !admitted)
    return tl::unexpected(admitted.error());
  AGENTROUTER_TRY(const auto place, admit_queued(tx, run, request.api_key, queue));
  begin_run(tx, run, request.api_key, place);
  state.conversation_id = run.id;
  state.turn_number = 0;
  tx.put_checkpoint(state);
  remember_use(tx, use, run.id, 0, context);
  return Forked{std::move(run), false};
}

}  // namespace agentrouter::runs
