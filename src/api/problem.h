#pragma once
// From errors to answers, in one place: which error is which status and code, and how it is told. The codes
// themselves are in codes.h.

#include <string>
#include <string_view>

#include "api/accept.h"
#include "base/error.h"
#include "base/id.h"
#include "net/server.h"

namespace agentrouter::api {

// What answers to one request share.
struct Occasion {
  std::string request_id;  // X-Request-Id: the caller's own if it is a plain word, else made here
  ErrorForm form = ErrorForm::envelope;
  std::string instance;  // the path that was asked for; may be empty
};
// `request` may be null: one that could not be read.
[[nodiscard]] Occasion occasion_of(const net::Request* request, base::Entropy& entropy);

// {"error":{"code","message","details"?}}: `details` is `{}` for typed errors that have nothing to say, and
// absent on bad_request and internal_error, as the published API has it. To callers that prefer it, RFC 9457
// as application/problem+json: {type, title, status, detail, instance?, code, details?, requestId}.
//
// A reason that is no code is told by the class of its error: bad_request, not_found, conflict, unavailable,
// or internal_error, which is logged and says nothing of its cause.
//
// Whoever the message or the details come from: what hide_in_logs() was told is in none of it, and the
// message is as base::shown() makes it.
[[nodiscard]] net::Response problem(const base::Error& error, const Occasion& occasion);

// For what fails before a handler runs, or in one.
[[nodiscard]] net::Response problem(const net::ServerError& error, base::Entropy& entropy);

[[nodiscard]] net::Response json_response(int status, std::string body);

// Adds what every answer has: X-Request-Id, X-Content-Type-Options, and Cache-Control unless it is set.
void finish(net::Response& response, const Occasion& occasion);

}  // namespace agentrouter::api
