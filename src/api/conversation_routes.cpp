// Routes of conversations: the next turn, a fork, all turns, the end.

#include "api/body.h"
#include "api/call.h"
#include "runs/conversations.h"
#include "runs/fork.h"

namespace agentrouter::api {

namespace {

// The ContinueRunResult of the wire.
std::string to_wire(const model::Run& run) {
  json::object object;
  object["runId"] = run.id.str();
  object["turnNumber"] = run.turn_number;
  object["conversationId"] = run.conversation_id.str();
  return base::to_text(object);
}

}  // namespace

base::Task<void> Api::send_message(Call& call) {
  const auto key = base::value_or_throw(call.idempotency_key());
  const auto json_body = co_await call.read_json();
  if (!json_body) throw base::Failure(json_body.error());
  const auto body = base::value_or_throw(parse_message_body(*json_body));
  const runs::ContinueRequest request{.run = call.run(),
                                      .message = body.message,
                                      .approval_mode = body.approval_mode,
                                      .idempotency_key = key,
                                      .scope = body.approval_scope,
                                      .limits = body.limits,
                                      .api_key = call.caller.key};
  const auto continued =
      co_await write(call, [&request, context = context(), this](store::Transaction& tx) {
        return runs::continue_run(tx, request, context, options_.conversations, options_.spending,
                                  options_.queue);
      });
  if (!continued) throw base::Failure(continued.error());
  auto response = json_response(202, to_wire(continued->run));
  response.headers.add("Location", "/v1/runs/" + continued->run.id.str());
  call.mark_replay(response, continued->replayed);
  co_await call.respond(std::move(response));
}

base::Task<void> Api::fork_run(Call& call) {
  const auto key = base::value_or_throw(call.idempotency_key());
  const auto json_body = co_await call.read_json();
  if (!json_body) throw base::Failure(json_body.error());
  const auto body = base::value_or_throw(parse_fork_body(*json_body));
  const runs::ForkRequest request{.run = call.run(),
                                  .message = body.message,
                                  .at_turn = body.at_turn,
                                  .idempotency_key = key,
                                  .limits = body.limits,
                                  .api_key = call.caller.key};
  const auto forked = co_await write(call, [&request, context = context(), this](store::Transaction& tx) {
    return runs::fork_run(tx, request, context, options_.spending, options_.queue);
  });
  if (!forked) throw base::Failure(forked.error());
  auto response = json_response(forked->replayed ? 200 : 201, forked->run.to_wire());
  response.headers.add("Location", "/v1/runs/" + forked->run.id.str());
  call.mark_replay(response, forked->replayed);
  co_await call.respond(std::move(response));
}

base::Task<void> Api::list_turns(Call& call) {
  const auto id = call.run();
  const auto turns = co_await needs_.store.read_in(
      call.workspace, [&id](store::Reader& reader) { return runs::turns(reader, id); });
  if (!turns) throw base::Failure(turns.error());
  co_await call.respond_json(200, turns->to_wire());
}

base::Task<void> Api::close_conversation(Call& call) {
  const auto body = co_await call.read_json();
  if (!body) throw base::Failure(body.error());
  base::value_or_throw(parse_empty_body(*body));
  const auto id = call.run();
  const auto closed = co_await write(call, [&id, context = context()](store::Transaction& tx) {
    return runs::close_conversation(tx, id, context);
  });
  if (!closed) throw base::Failure(closed.error());
  co_await call.respond_json(200, closed->to_wire());
}

}  // namespace agentrouter::api
