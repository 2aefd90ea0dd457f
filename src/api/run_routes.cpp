// Routes that ask for runs, show them and decide about them.

#include "api/body.h"
#include "api/call.h"
#include "api/issues.h"
#include "model/cassette_name.h"
#include "runs/cancel.h"
#include "runs/create.h"
#include "runs/decide.h"
#include "runs/delete.h"
#include "runs/queries.h"
#include "runs/record.h"

namespace agentrouter::api {

namespace {

std::string items(const std::vector<std::string>& texts) {
  std::string out = "{\"items\":[";
  for (std::size_t i = 0; i < texts.size(); ++i) out.append(i ? "," : "").append(texts[i]);
  return out + "]}";
}

// A store that is away, or that gives other bytes, says so itself.
base::Error as_download(const base::Error& error, const model::Artifact& artifact) {
  if (error.code == base::Code::unavailable || error.code == base::Code::corrupt) return error;
  return {base::Code::not_found, "The bytes of artifact " + artifact.id.str() + " are gone: " + error.message,
          "artifact_not_found"};
}

}  // namespace

// Errors: invalid (mcp_server_unknown).
base::Result<void> Api::check_mcp(const std::vector<std::string>& names, model::RuntimeKind kind) const {
  for (const auto& name : names) {
    const auto offers = [&](const McpOffer& one) {
      return one.name == name && (kind == model::RuntimeKind::codex ? one.codex : one.claude_code);
    };
    const auto& all = options_.mcp_servers;
    if (std::any_of(all.begin(), all.end(), offers)) continue;
    json::object details;
    details["name"] = name;
    return base::fail(
        base::Code::invalid,
        "this server has no MCP server \"" + name + "\" for " + std::string(model::to_string(kind)),
        "mcp_server_unknown", base::to_text(details));
  }
  return {};
}

// Errors: invalid (isolation_unavailable).
base::Result<void> Api::check_isolation(model::Isolation demanded) const {
  const auto& all = options_.isolations;
  if (std::ranges::any_of(all, [&](auto one) { return model::satisfies(one, demanded); })) return {};
  json::array available;
  std::string list;
  for (const auto one : all) {
    available.emplace_back(model::to_string(one));
    list.append(list.empty() ? "" : ", ").append(model::to_string(one));
  }
  const std::string wanted(model::to_string(demanded));
  const json::object details{{"required", wanted}, {"available", std::move(available)}};
  return base::fail(base::Code::invalid,
                    "this server cannot isolate a run by \"" + wanted + "\": it has " + list,
                    "isolation_unavailable", base::to_text(details));
}

// Errors: invalid (validation_error).
base::Result<void> Api::check_cassette(const model::Tags& tags) const {
  const auto tag = std::ranges::find(tags, model::cassette_tag, &model::Tags::value_type::first);
  if (!options_.has_cassettes || tag == tags.end() || model::is_cassette_name(tag->second)) return {};
  Issues issues;
  issues.bad_format({"tags", std::string(model::cassette_tag)}, model::cassette_name_pattern);
  return tl::unexpected(issues.to_error());
}

base::Task<void> Api::create_run(Call& call) {
  const auto key = base::value_or_throw(call.idempotency_key());
  const auto json_body = co_await call.read_json();
  if (!json_body) throw base::Failure(json_body.error());
  const auto body = base::value_or_throw(parse_create_body(*json_body));
  base::value_or_throw(check_mcp(body.mcp, body.runtime.kind));
  base::value_or_throw(check_cassette(body.tags));
  const auto demanded = base::value_or_throw(options_.check_policy(body.policy));
  base::value_or_throw(check_isolation(std::max(demanded, body.isolation.value_or(demanded))));
  if (!body.image.empty()) base::value_or_throw(options_.check_image(body.image));
  runs::NewRun request{.input = body.input,
                       .task = body.task,
                       .runtime = body.runtime,
                       .approval_mode = body.approval_mode,
                       .workspace = body.workspace,
                       .priority = body.priority,
                       .idempotency_key = key,
                       .tags = body.tags,
                       .approval_timeout = body.approval_timeout,
                       .limits = body.limits,
                       .api_key = call.caller.key,
                       .isolation = demanded};
  if (body.workspace.kind == model::WorkspaceKind::path) {
    auto admitted = co_await needs_.pool.run([&] { return options_.admit_workspace(body.workspace.path); });
    request.workspace.path = base::value_or_throw(std::move(admitted));
  }
  if (body.workspace.kind == model::WorkspaceKind::git) {
    auto admitted = co_await needs_.pool.run([&] { return options_.admit_git(body.workspace.git); });
    request.workspace.git = base::value_or_throw(std::move(admitted));
  }
  auto created = co_await write(call, [&request, context = context(), this](store::Transaction& tx) {
    return runs::create_run(tx, request, context, options_.spending, options_.queue);
  });
  if (!created) throw base::Failure(created.error());
  auto response = json_response(created->replayed ? 200 : 201, created->run.to_wire());
  response.headers.add("Location", "/v1/runs/" + created->run.id.str());
  call.mark_replay(response, created->replayed);
  co_await call.respond(std::move(response));
}

base::Task<void> Api::get_run(Call& call) {
  const auto id = call.run();
  const auto run = co_await needs_.store.read_in(
      call.workspace, [&id](store::Reader& reader) { return runs::find_run(reader, id); });
  if (!run) throw base::Failure(run.error());
  co_await call.respond_json(200, run->to_wire());
}

base::Task<void> Api::get_session(Call& call) {
  const auto id = call.run();
  const auto session = co_await needs_.store.read_in(
      call.workspace, [&id](store::Reader& reader) { return runs::run_session(reader, id); });
  if (!session) throw base::Failure(session.error());
  co_await call.respond_json(200, session->to_wire());
}

base::Task<void> Api::get_record(Call& call) {
  const auto id = call.run();
  const auto record = co_await needs_.store.read_in(
      call.workspace, [&id, now = needs_.clock.now(), this](store::Reader& reader) {
        return runs::run_record(reader, id, now, options_.conversations, options_.queue.roots);
      });
  if (!record) throw base::Failure(record.error());
  co_await call.respond_json(200, record->to_wire());
}

base::Task<void> Api::get_budgets(Call& call) {
  const auto key = call.caller.key;
  const auto text = co_await needs_.store.read_in(
      call.workspace, [&key, now = needs_.clock.now(), this](store::Reader& reader) {
        return runs::budgets_wire(reader, options_.spending, key, now);
      });
  co_await call.respond_json(200, text);
}

base::Task<void> Api::cancel_run(Call& call) {
  const auto body = co_await call.read_json();
  if (!body) throw base::Failure(body.error());
  base::value_or_throw(parse_empty_body(*body));
  const auto id = call.run();
  const auto run = co_await write(
      call, [&id, context = context()](store::Transaction& tx) { return runs::cancel_run(tx, id, context); });
  if (!run) throw base::Failure(run.error());
  co_await call.respond_json(200, run->to_wire());
  if (run->status != model::RunStatus::cancelling) co_return;
  // A run that nobody has begun ends here, also where no worker runs. With an attempt open this changes
  // nothing. It is the server's own work, whatever became of the caller.
  (void)co_await needs_.store.write_in(
      call.workspace, [&id, context = context(), this](store::Transaction& tx) {
        return runs::settle_cancelled(tx, id, context, options_.conversations);
      });
}

// What it has left is removed behind the answer.
base::Task<void> Api::delete_run(Call& call) {
  const runs::Deletion deletion{.run = call.run(), .by = call.caller.key};
  const auto deleted = co_await write(call, [&deletion, context = context()](store::Transaction& tx) {
    return runs::delete_run(tx, deletion, context);
  });
  if (!deleted) throw base::Failure(deleted.error());
  net::Response gone;
  gone.status = 204;
  co_await call.respond(std::move(gone));
}

base::Task<void> Api::approve(Call& call) {
  return decide(call, true);
}
base::Task<void> Api::deny(Call& call) {
  return decide(call, false);
}

base::Task<void> Api::decide(Call& call, bool approved) {
  const auto key = base::value_or_throw(call.idempotency_key());
  const auto json_body = co_await call.read_json();
  if (!json_body) throw base::Failure(json_body.error());
  const auto verb = approved ? DecisionVerb::approve : DecisionVerb::deny;
  auto body = base::value_or_throw(parse_decision_body(*json_body, verb));
  const runs::DecisionRequest request{
      .run = call.run(),
      .action = model::ActionId(call.item_id),
      .action_digest = std::move(body.action_digest),
      .decision = approved ? runs::Decision::approved : runs::Decision::denied,
      .reason = std::move(body.reason),
      .idempotency_key = key,
      .decided_by = call.caller.key,
      .updated_input = std::move(body.updated_input)};
  const auto event = co_await write(call, [&request, context = context()](store::Transaction& tx) {
    return runs::decide_action(tx, request, context);
  });
  if (!event) throw base::Failure(event.error());
  auto response = json_response(200, event->to_wire());
  call.mark_replay(response, event->replayed);
  co_await call.respond(std::move(response));
}

base::Task<void> Api::list_artifacts(Call& call) {
  const auto id = call.run();
  const auto texts = co_await needs_.store.read_in(
      call.workspace, [&id](store::Reader& reader) -> base::Result<std::vector<std::string>> {
        if (auto run = runs::find_run(reader, id); !run) return tl::unexpected(run.error());
        std::vector<std::string> found;
        for (const auto& artifact : reader.artifacts(id)) found.push_back(artifact.to_wire());
        return found;
      });
  if (!texts) throw base::Failure(texts.error());
  co_await call.respond_json(200, items(*texts));
}

base::Task<void> Api::download(Call& call) {
  const auto run = call.run();
  const model::ArtifactId id(call.item_id);
  const auto artifact = co_await needs_.store.read_in(
      call.workspace, [&run, &id](store::Reader& reader) { return runs::find_artifact(reader, run, id); });
  if (!artifact) throw base::Failure(artifact.error());
  // A link is good for GET alone.
  const bool wants_bytes = !call.exchange.request().is_head();
  const auto link = co_await blob_pool_.run([&]() -> base::Result<std::optional<std::string>> {
    if (!wants_bytes) return std::optional<std::string>();
    return needs_.blobs.link(artifact->r2_key, artifact->sha256, artifact->content_type);
  });
  if (!link) throw base::Failure(as_download(link.error(), *artifact));
  if (*link) {
    net::Response elsewhere;
    elsewhere.status = 307;
    elsewhere.headers.add("Location", **link);
    co_await call.respond(std::move(elsewhere));
    co_return;
  }
  auto blob = co_await blob_pool_.run([&] { return needs_.blobs.open(artifact->r2_key, artifact->sha256); });
  if (!blob) throw base::Failure(as_download(blob.error(), *artifact));
  const auto whole = co_await blob_pool_.run([&] { return blobs::check_blob(*blob, artifact->sha256); });
  if (!whole) throw base::Failure(whole.error());
  net::Response head;
  head.headers.add("Content-Type",
                   artifact->content_type.empty() ? "application/octet-stream" : artifact->content_type);
  head.headers.add("ETag", "\"" + artifact->sha256 + "\"");
  head.headers.add("Content-Security-Policy", "sandbox; default-src 'none'");
  co_await call.exchange.send_file(call.finished(std::move(head)), blob->fd.get(), 0,
                                   static_cast<std::uint64_t>(blob->size));
}

}  // namespace agentrouter::api
