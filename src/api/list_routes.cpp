// The list of runs with its filters and its cursor.

#include "api/call.h"
#include "api/query.h"
#include "base/utf8.h"
#include "runs/cursor.h"

namespace agentrouter::api {

namespace {

const std::vector<std::string_view> status_filters{"active",     "queued",    "starting", "running",
                                                   "cancelling", "completed", "failed",   "cancelled"};
const std::vector<std::string_view> runtime_filters{"codex", "claude_code"};
constexpr std::int64_t max_id = 256;
constexpr std::int64_t max_text = 1000;

std::optional<store::RunCursor> cursor_of(Query& query, Issues& issues) {
  const auto text = query.text("cursor");
  if (!text) return std::nullopt;
  const auto cursor = runs::decode_cursor(*text);
  if (cursor) return *cursor;
  issues.other({"cursor"}, "Invalid cursor: expected the nextCursor of a page");
  return std::nullopt;
}

base::Result<store::RunQuery> run_query(const net::Request& request) {
  Issues issues;
  Query query(request, issues);
  store::RunQuery wanted;
  wanted.limit = static_cast<int>(query.number("limit", 50, 1, 100));
  wanted.status = query.choice("status", status_filters);
  wanted.after = cursor_of(query, issues);
  if (const auto kind = query.choice("runtime", runtime_filters))
    wanted.runtime = *kind == "codex" ? model::RuntimeKind::codex : model::RuntimeKind::claude_code;
  wanted.tags = query.tags();
  if (const auto id = query.text("conversationId", max_id)) wanted.conversation = model::RunId(*id);
  wanted.created_after = query.time("createdAfter");
  wanted.created_before = query.time("createdBefore");
  wanted.text = base::trim_js(query.text("q", max_text).value_or(""));
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return wanted;
}

}  // namespace

base::Task<void> Api::list_runs(Call& call) {
  const auto wanted = base::value_or_throw(run_query(call.request()));
  const auto body = co_await needs_.store.read_in(call.workspace, [&wanted](store::Reader& reader) {
    const auto page = reader.runs(wanted);
    std::string text = "{\"items\":[";
    for (std::size_t i = 0; i < page.items.size(); ++i)
      text.append(i ? "," : "").append(page.items[i].to_wire());
    text += "]";
    if (page.next) text += ",\"nextCursor\":" + base::to_text(json::value(runs::encode_cursor(*page.next)));
    return text + "}";
  });
  co_await call.respond_json(200, body);
}

}  // namespace agentrouter::api
