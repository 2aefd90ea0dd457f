#pragma once
// The one exception of the SDK. `code` is the stable word to branch on; `message` is for people.
//
// Codes of the server are passed on as they are ("run_not_found", "idempotency_conflict", ...), with the HTTP
// status. A reply without the server's error envelope has the code "api_error". Codes made here have status
// 0:
//   wait_timeout       the run did not end in the time that the caller gave it; details {runId, status}
//   invalid_run_agent_request, invalid_stream_agent_request   neither a task nor a message to send
//   network_error      no connection, or it broke (after the retries that were safe)
//   timeout            the call took longer than it may; what it did on the server is unknown
//   cancelled          the caller's stop token was triggered
//   protocol_error     the other side does not speak the AgentRouter protocol
//   response_too_large a reply is bigger than the SDK holds in memory
//   invalid_argument   the SDK cannot send this
//   invalid_json       Json::parse was given something else
//   write_failed       a download could not be stored

#include <agentrouter/export.hpp>
#include <agentrouter/json.hpp>
#include <exception>
#include <memory>
#include <string>

namespace agentrouter {

// Copying does not throw. Any thread may read it.
class AGENTROUTER_API Error : public std::exception {
 public:
  Error(std::string code, std::string message, Json details = {}, int status = 0);

  [[nodiscard]] const std::string& code() const noexcept;
  [[nodiscard]] const std::string& message() const noexcept;
  [[nodiscard]] const Json& details() const noexcept;  // an object, or null when there is nothing to say
  [[nodiscard]] int status() const noexcept;           // HTTP status, 0 when no reply is behind it
  [[nodiscard]] const char* what() const noexcept override;

 private:
  struct AGENTROUTER_LOCAL Fields;
  std::shared_ptr<const Fields> fields_;
};

}  // namespace agentrouter
