#pragma once
// From errors to answers, in one place: which code is which status, and what the body looks like.

#include <string_view>

#include "base/error.h"
#include "net/http.h"

namespace agentrouter::api {

// {"error":{"code","message","details"?}}. `details` is `{}` for typed errors that have nothing to say, and
// absent on bad_request and internal_error, as the published API has it.
[[nodiscard]] net::Response problem(const base::Error& error);

// For what fails before a handler runs: `code` is bad_request, unavailable, internal_error...
[[nodiscard]] net::Response problem(int status, std::string_view code, std::string_view message);

[[nodiscard]] net::Response json_response(int status, std::string body);

}  // namespace agentrouter::api
