#include <agentrouter/client.hpp>
#include <condition_variable>
#include <mutex>

#include "client_state.hpp"
#include "codec.hpp"
#include "steady.hpp"
#include "stream_state.hpp"

namespace agentrouter {

using detail::add_query;
using detail::HttpRequest;
using detail::number;
using detail::post;
using detail::Repeat;
using detail::repeat_with;
using detail::run_path;
using detail::segment;

namespace {

std::string artifact_path(std::string_view run_id, std::string_view artifact_id) {
  return run_path(run_id, "/artifacts/" + segment(artifact_id, "artifact id") + "/download");
}

HttpRequest decision(const ActionDecisionRequest& request, std::string_view verb) {
  auto http = post(
      run_path(request.run_id, "/actions/" + segment(request.action_id, "action id") + std::string(verb)),
      detail::encode_decision(request).dump());
  static_cast<void>(repeat_with(request.idempotency_key, http));
  return http;
}

using detail::now;
using detail::SteadyTime;

// Throws `cancelled` when `stop` ends it.
void pause(std::chrono::milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  changed.wait_for(lock, stop, time, [] { return false; });
  if (stop.stop_requested()) throw Error("cancelled", "the call was cancelled");
}

// The pauses between questions to a server that has not made up its mind: 250 ms, then longer up to 1 s.
class Patience {
 public:
  explicit Patience(std::chrono::milliseconds most) : end_(now() + most) {}
  [[nodiscard]] bool left() const { return now() < end_; }
  void pause(const std::stop_token& stop) {
    agentrouter::pause(std::min(std::chrono::milliseconds(250) * ++pauses_, std::chrono::milliseconds(1'000)),
                       stop);
  }

 private:
  SteadyTime end_;
  int pauses_ = 0;
};

// Whether a server that makes conversations of completed runs will make one of this run.
bool may_become_conversation(const Run& run) {
  const auto& mode = run.runtime.mode;
  return run.status == RunStatus::completed && run.runtime.kind == "codex" &&
         (mode == "default" || mode == "read_only" || mode == "full_access");
}

void tell(const WaitOptions& wait, const RunEvent& event) {
  if (wait.on_event) wait.on_event(event);
  if (!wait.on_part && !wait.on_text) return;
  const auto part = part_of(event);
  if (!part) return;
  if (wait.on_part) wait.on_part(*part);
  if (wait.on_text && std::holds_alternative<TextPart>(*part)) wait.on_text(text_of(*part));
}

}  // namespace

Client::Client(ClientOptions options)
    : state_(std::make_shared<State>(State{std::make_shared<detail::Transport>(std::move(options))})) {}
Client::Client(const Client&) = default;
Client& Client::operator=(const Client&) = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

bool Client::healthy(const CallOptions& call) const {
  try {
    return state_->json({.target = "/healthz"}, call, Repeat::never)["ok"].as_bool();
  } catch (const Error& error) {
    if (error.code() == "cancelled") throw;
    return false;
  }
}

Run Client::create_run(const CreateRunRequest& request, const CallOptions& call) const {
  auto http = post("/v1/runs", detail::encode_create(request).dump());
  const auto repeat = repeat_with(request.idempotency_key, http);
  return detail::decode_run(state_->json(http, call, repeat));
}

// The last event tells the end. A server that writes event and status apart may need a moment for the latter.
RunSession Client::wait_for_run(std::string_view run_id, const WaitOptions& wait) const {
  const auto end = now() + wait.max_wait;
  auto stream = stream_run(run_id, {.after_seq = wait.after_seq,
                                    .stop = wait.stop,
                                    .max_wait = wait.max_wait,
                                    .poll_interval = wait.poll_interval});
  while (const auto event = stream.next()) tell(wait, *event);
  for (;;) {
    auto session = get_run_session(run_id, {.stop = wait.stop});
    if (is_terminal(session.run.status)) return session;
    if (now() >= end) throw detail::wait_timeout(session.run);
    pause(wait.poll_interval, wait.stop);
  }
}

RunSession Client::create_run_and_wait(const CreateRunRequest& request, const WaitOptions& wait) const {
  return wait_for_run(create_run(request, {.stop = wait.stop}).id, wait);
}

RunPage Client::State::list(const ListRunsRequest& request, const CallOptions& call) const {
  std::string target = "/v1/runs";
  add_query(target, "status", request.status);
  add_query(target, "runtime", request.runtime);
  for (const auto& [name, value] : request.tags)
    add_query(target, "tag." + detail::percent_encoded(name), value);
  add_query(target, "conversationId", request.conversation_id);
  add_query(target, "createdAfter", request.created_after);
  add_query(target, "createdBefore", request.created_before);
  add_query(target, "q", request.query);
  add_query(target, "limit", number(request.limit));
  add_query(target, "cursor", request.cursor);
  return detail::decode_runs(json({.target = target}, call));
}

RunPage Client::list_runs(const ListRunsRequest& request, const CallOptions& call) const {
  return state_->list(request, call);
}

struct RunList::State {
  std::function<RunPage(const ListRunsRequest&)> fetch;
  ListRunsRequest request;
  RunPage page = {};
  std::size_t position = 0;
  bool last = false;  // there is no page behind this one
};

RunList Client::list_all_runs(const ListRunsRequest& request, const CallOptions& call) const {
  auto fetch = [state = state_, call](const ListRunsRequest& page) { return state->list(page, call); };
  return RunList(std::make_unique<RunList::State>(RunList::State{std::move(fetch), request}));
}

RunList::RunList(std::unique_ptr<State> state) : state_(std::move(state)) {}
RunList::RunList(RunList&&) noexcept = default;
RunList& RunList::operator=(RunList&&) noexcept = default;
RunList::~RunList() = default;

std::optional<Run> RunList::next() {
  auto& state = *state_;
  while (state.position == state.page.items.size()) {
    if (state.last) return std::nullopt;
    state.page = state.fetch(state.request);
    state.position = 0;
    const auto& cursor = state.page.next_cursor;
    state.last = cursor.empty();
    if (!state.last && cursor == state.request.cursor) {
      throw Error("protocol_error", "the server's list of runs leads from a page to the same page");
    }
    state.request.cursor = cursor;
  }
  return state.page.items[state.position++];
}

Run Client::get_run(std::string_view run_id, const CallOptions& call) const {
  return detail::decode_run(state_->json({.target = run_path(run_id)}, call));
}

RunSession Client::get_run_session(std::string_view run_id, const CallOptions& call) const {
  return detail::decode_session(state_->json({.target = run_path(run_id, "/session")}, call));
}

RunRecord Client::get_run_record(std::string_view run_id, const CallOptions& call) const {
  return detail::decode_record(state_->json({.target = run_path(run_id, "/record")}, call));
}

EventPage Client::list_run_events(std::string_view run_id, const ListEventsRequest& request,
                                  const CallOptions& call) const {
  auto target = run_path(run_id, "/events");
  add_query(target, "afterSeq", number(request.after_seq));
  add_query(target, "limit", number(request.limit));
  return detail::decode_events(state_->json({.target = target}, call));
}

EventStream Client::stream_run(std::string_view run_id, StreamOptions options) const {
  return EventStream(
      std::make_unique<EventStream::State>(state_->transport, run_path(run_id), std::move(options)));
}

Run Client::cancel_run(std::string_view run_id, const CallOptions& call) const {
  return detail::decode_run(state_->json(post(run_path(run_id, "/cancel")), call));
}

RunEvent Client::approve_run_action(const ActionDecisionRequest& request, const CallOptions& call) const {
  return detail::decode_event(state_->json(decision(request, "/approve"), call));
}

RunEvent Client::deny_run_action(const ActionDecisionRequest& request, const CallOptions& call) const {
  return detail::decode_event(state_->json(decision(request, "/deny"), call));
}

ApprovalPage Client::list_approvals(const ListApprovalsRequest& request, const CallOptions& call) const {
  std::string target = "/v1/approvals";
  add_query(target, "runId", request.run_id);
  add_query(target, "after", number(request.after));
  add_query(target, "limit", number(request.limit));
  add_query(target, "waitSeconds", number(request.wait_seconds));
  return detail::decode_approvals(state_->json({.target = target}, call));
}

Json Client::list_budgets(const CallOptions& call) const {
  return state_->json({.target = "/v1/budgets"}, call);
}

namespace {

Json texts(const std::vector<std::string>& all) {
  Json::Array list;
  for (const auto& one : all) list.emplace_back(one);
  return Json::array(std::move(list));
}

std::string page_behind(std::string target, std::string_view after) {
  add_query(target, "after", std::string(after));
  return target;
}

}  // namespace

Json Client::list_keys(std::string_view after, const CallOptions& call) const {
  return state_->json({.target = page_behind("/v1/keys", after)}, call);
}

Json Client::create_key(const CreateKeyRequest& request, const CallOptions& call) const {
  Json::Object body{{"name", request.name}, {"scopes", texts(request.scopes)}};
  if (request.every_workspace) {
    body.emplace_back("workspaces", "*");
  } else if (!request.workspaces.empty()) {
    body.emplace_back("workspaces", texts(request.workspaces));
  }
  if (!request.expires_at.empty()) body.emplace_back("expiresAt", request.expires_at);
  return state_->json(post("/v1/keys", Json::object(std::move(body)).dump()), call, Repeat::never);
}

Json Client::revoke_key(std::string_view key_id, const CallOptions& call) const {
  return state_->json({.method = "DELETE", .target = "/v1/keys/" + segment(key_id, "key id")}, call);
}

Json Client::rotate_key(std::string_view key_id, std::chrono::seconds overlap,
                        const CallOptions& call) const {
  const auto body = Json::object({{"overlapSeconds", static_cast<std::int64_t>(overlap.count())}});
  return state_->json(post("/v1/keys/" + segment(key_id, "key id") + "/rotate", body.dump()), call,
                      Repeat::never);
}

Json Client::list_workspaces(std::string_view after, const CallOptions& call) const {
  return state_->json({.target = page_behind("/v1/workspaces", after)}, call);
}

Json Client::create_workspace(std::string_view id, std::string_view name, const CallOptions& call) const {
  Json::Object body{{"id", std::string(id)}};
  if (!name.empty()) body.emplace_back("name", std::string(name));
  return state_->json(post("/v1/workspaces", Json::object(std::move(body)).dump()), call, Repeat::never);
}

ContinueRunResult Client::continue_run(const ContinueRunRequest& request, const CallOptions& call) const {
  auto http = post(run_path(request.continue_run, "/messages"), detail::encode_message(request).dump());
  const auto repeat = repeat_with(request.idempotency_key, http);
  Patience patience(state_->transport->options().continue_patience);
  for (;;) {
    try {
      return detail::decode_continue(state_->json(http, call, repeat));
    } catch (const Error& error) {
      if (error.code() != "run_not_continuable" || !patience.left()) throw;
      if (!may_become_conversation(get_run(request.continue_run, call))) throw;
    }
    patience.pause(call.stop);
  }
}

ContinueRunResult Client::continue_run(std::string_view run_id, std::string_view message,
                                       const CallOptions& call) const {
  return continue_run({.continue_run = std::string(run_id), .message = std::string(message)}, call);
}

RunTurns Client::get_run_turns(std::string_view run_id, const CallOptions& call) const {
  return detail::decode_turns(state_->json({.target = run_path(run_id, "/turns")}, call));
}

// Without a conversation there is nothing to reclaim yet, and closing again later would do it.
CloseRunResult Client::close_run(std::string_view run_id, const CallOptions& call) const {
  const auto request = post(run_path(run_id, "/close"));
  Patience patience(state_->transport->options().close_patience);
  for (;;) {
    auto result = detail::decode_close(state_->json(request, call));
    if (result.reclaimed || !patience.left()) return result;
    if (!may_become_conversation(get_run(run_id, call))) return result;
    patience.pause(call.stop);
  }
}

void Client::delete_run(std::string_view run_id, const CallOptions& call) const {
  const HttpRequest request{.method = "DELETE", .target = run_path(run_id)};
  Patience patience(state_->transport->options().continue_patience);
  for (;;) {
    try {
      static_cast<void>(state_->transport->call(request, call, Repeat::safe));
      return;
    } catch (const Error& error) {
      const bool tidying = error.code() == "run_not_ended" && !error.details()["retryAfterSeconds"].is_null();
      if (!tidying || !patience.left()) throw;
    }
    patience.pause(call.stop);
  }
}

Json Client::call(std::string_view method, std::string_view target, const Json& body,
                  const CallOptions& call) const {
  HttpRequest request{.method = std::string(method), .target = std::string(target)};
  if (!body.is_null()) request.body = body.dump();
  return state_->json(request, call, method == "GET" ? Repeat::safe : Repeat::never);
}

ArtifactPage Client::list_run_artifacts(std::string_view run_id, const CallOptions& call) const {
  return detail::decode_artifacts(state_->json({.target = run_path(run_id, "/artifacts")}, call));
}

void Client::download_artifact(std::string_view run_id, std::string_view artifact_id, const Sink& sink,
                               const CallOptions& call) const {
  state_->transport->fetch({.target = artifact_path(run_id, artifact_id)}, call, sink);
}

std::string Client::download_artifact(std::string_view run_id, std::string_view artifact_id,
                                      const CallOptions& call) const {
  return detail::fetch_to_memory(
      "artifact", [&](const Sink& sink) { download_artifact(run_id, artifact_id, sink, call); });
}

void Client::download_artifact(std::string_view run_id, std::string_view artifact_id,
                               const std::filesystem::path& file, const CallOptions& call) const {
  detail::fetch_to_file(file, [&](const Sink& sink) { download_artifact(run_id, artifact_id, sink, call); });
}

}  // namespace agentrouter
