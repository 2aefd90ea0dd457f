// Routes about many questions at once: those that wait in all runs, and decisions about several of one run.

#include "api/body.h"
#include "api/call.h"
#include "api/codes.h"
#include "api/query.h"
#include "runs/decide.h"
#include "runs/queries.h"

namespace agentrouter::api {

namespace {

constexpr std::int64_t any_number = 9007199254740991;
constexpr std::int64_t longest_wait = 30;  // seconds

struct Wanted {
  store::PendingQuery query;
  std::chrono::seconds wait{0};
};

base::Result<Wanted> wanted_of(const net::Request& request) {
  Issues issues;
  Query query(request, issues);
  Wanted wanted;
  if (const auto run = query.text("runId", 256)) wanted.query.run = model::RunId(*run);
  wanted.query.after = query.number("after", 0, 0, any_number);
  wanted.query.limit = static_cast<int>(query.number("limit", 100, 1, 500));
  wanted.wait = std::chrono::seconds(query.number("waitSeconds", 0, 0, longest_wait));
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return wanted;
}

// One question: what it is about, and the event that asked it.
std::string question_text(store::Reader& reader, const store::Approval& approval) {
  json::object item{{"runId", approval.run_id.str()},
                    {"actionId", approval.action_id.str()},
                    {"actionDigest", approval.action_digest},
                    {"requestId", approval.request_id},
                    {"requestedAt", base::to_iso(approval.requested_at)}};
  if (approval.expires_at) item["expiresAt"] = base::to_iso(*approval.expires_at);
  const auto action = reader.action(approval.run_id, approval.action_id);
  if (action) {
    item["name"] = action->name;
    item["target"] = action->target;
  }
  auto text = base::to_text(item);
  const auto event = action ? reader.event(approval.run_id, action->requested_seq) : std::nullopt;
  if (!event) return text;
  text.pop_back();
  return text + ",\"event\":" + event->to_wire() + "}";
}

struct QuestionPage {
  std::string items;
  std::int64_t next = 0;
  bool empty = true;
};

QuestionPage read_questions(store::Reader& reader, const store::PendingQuery& query) {
  QuestionPage page{.items = {}, .next = query.after};
  for (const auto& approval : reader.pending_approvals(query)) {
    if (!page.empty) page.items += ",";
    page.items += question_text(reader, approval);
    page.next = approval.number;
    page.empty = false;
  }
  return page;
}

}  // namespace

base::Task<void> Api::list_approvals(Call& call) {
  const auto wanted = base::value_or_throw(wanted_of(call.request()));
  const auto deadline = base::after(wanted.wait);
  QuestionPage page;
  for (;;) {
    const auto seen = needs_.hub.questions();
    page = co_await needs_.store.read_in(call.workspace, [&](store::Reader& reader) {
      check_again(reader, call);  // who has waited may have been shut out meanwhile
      return read_questions(reader, wanted.query);
    });
    if (!page.empty || base::passed(deadline) || needs_.hub.stopping()) break;
    co_await needs_.hub.question_after(seen, deadline);
  }
  co_await call.respond_json(
      200, "{\"items\":[" + page.items + "],\"nextAfter\":" + std::to_string(page.next) + "}");
}

namespace {

std::string answer_text(const std::string& action, const base::Result<runs::Decided>& decided) {
  const auto id = base::to_text(json::value(action));
  if (decided) return "{\"actionId\":" + id + ",\"event\":" + decided->to_wire() + "}";
  const auto& error = decided.error();
  json::object told{{"code", error.reason}, {"message", error.message}};
  const auto details = base::parse_json(error.details.empty() ? "{}" : error.details);
  told["details"] = details ? *details : json::value(json::object{});
  return "{\"actionId\":" + id + ",\"error\":" + base::to_text(told) + "}";
}

}  // namespace

// Each decision stands for itself: one that is refused changes nothing about the others.
base::Task<void> Api::decide_many(Call& call) {
  const auto json_body = co_await call.read_json();
  if (!json_body) throw base::Failure(json_body.error());
  const auto body = base::value_or_throw(parse_decisions_body(*json_body));
  const auto run = call.run();
  const auto items =
      co_await write(call, [&, context = context()](store::Transaction& tx) -> base::Result<std::string> {
        if (auto found = runs::find_run(tx, run); !found) return tl::unexpected(found.error());
        std::string texts;
        for (const auto& one : body.decisions) {
          const runs::DecisionRequest request{
              .run = run,
              .action = model::ActionId(one.action_id),
              .action_digest = one.action_digest,
              .decision = one.approved ? runs::Decision::approved : runs::Decision::denied,
              .reason = one.reason,
              .decided_by = call.caller.key};
          texts += (texts.empty() ? "" : ",") +
                   answer_text(one.action_id, runs::decide_action(tx, request, context));
        }
        return texts;
      });
  if (!items) throw base::Failure(items.error());
  co_await call.respond_json(200, "{\"items\":[" + *items + "]}");
}

}  // namespace agentrouter::api
