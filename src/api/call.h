#pragma once
// One request on its way through the API: what every route needs of it.

#include <string>

#include "api/api.h"
#include "api/issues.h"
#include "api/problem.h"
#include "base/json.h"

namespace agentrouter::api {

struct Api::Call {
  net::Exchange& exchange;
  Occasion occasion;
  std::string run_id;   // of the path, if it has one
  std::string item_id;  // action, artifact or webhook of the path, if it has one
  std::string part_id;  // message of a webhook or rule of a run, if it has one
  tenancy::Caller caller;
  base::Result<std::string> place = {};  // the workspace that the request is about, or why there is none
  std::string workspace;                 // the same, on a route that needs one
  bool about_keys = false;               // or about workspaces: about none in particular
  base::Result<void> open = {};          // of such a request: whether the key opens any
  std::string_view route = "other";  // the first word of the route
  mutable int status = 0;            // of the answer, once there is one

  [[nodiscard]] const net::Request& request() const { return exchange.request(); }
  [[nodiscard]] model::RunId run() const { return model::RunId(run_id); }

  // Adds what every answer has.
  [[nodiscard]] net::Response finished(net::Response response) const;
  base::Task<void> respond(net::Response response);
  base::Task<void> respond_json(int status, std::string body);
  base::Task<void> refuse(const base::Error& error);

  // The Idempotency-Key, empty for none.
  // Errors: invalid with reason validation_error: over 256 characters, not printable ASCII, or more than one.
  [[nodiscard]] base::Result<std::string> idempotency_key() const;

  // Idempotent-Replayed on the answer to a request that an earlier one with the same key has done.
  static void mark_replay(net::Response& response, bool replayed);

  // The body as JSON; an empty one counts as `{}`.
  // Errors: invalid and timeout with reason bad_request, payload_too_large, unsupported_media_type,
  // body_timeout, or validation_error for text that is no Unicode and numbers beyond double.
  base::Task<base::Result<json::value>> read_json();
};

template <class Work>
auto Api::write(const Call& call, Work work) -> base::Task<std::invoke_result_t<Work&, store::Transaction&>> {
  return needs_.store.write_in(call.workspace, [this, &call, work](store::Transaction& tx) mutable {
    check_again(tx, call);
    return work(tx);
  });
}

template <class Work>
auto Api::write_as(const Call& call, Work work)
    -> base::Task<std::invoke_result_t<Work&, store::Transaction&, const tenancy::Caller&>> {
  return write(call, [&call, work](store::Transaction& tx) mutable {
    const auto caller = base::value_or_throw(tenancy::where_open(tx, call.caller));
    return work(tx, caller);
  });
}

// What a body that could not be read is to its sender.
[[nodiscard]] base::Error reading_fault(const base::Error& error);

}  // namespace agentrouter::api
