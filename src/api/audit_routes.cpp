// The audit chain, page by page.

#include "api/call.h"
#include "api/query.h"
#include "runs/audit.h"

namespace agentrouter::api {

namespace {

constexpr std::int64_t any_entry = 9007199254740991;

struct AuditWanted {
  std::int64_t after = 0;
  int limit = 0;
};

base::Result<AuditWanted> audit_wanted(const net::Request& request) {
  Issues issues;
  Query query(request, issues);
  AuditWanted wanted;
  wanted.after = query.number("after", 0, 0, any_entry);
  wanted.limit = static_cast<int>(query.number("limit", 500, 1, 1000));
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return wanted;
}

}  // namespace

base::Task<void> Api::get_audit(Call& call) {
  const auto wanted = base::value_or_throw(audit_wanted(call.request()));
  const auto page = co_await needs_.store.read_in(call.workspace, [&wanted](store::Reader& reader) {
    return runs::audit_page(reader, wanted.after, wanted.limit);
  });
  co_await call.respond_json(200, page);
}

}  // namespace agentrouter::api
