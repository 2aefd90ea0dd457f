#pragma once
// Who decides whether a request of the sandbox to somebody else than a model provider may leave. The egress
// holds the request, whole, until it is told.

#include <cstdint>
#include <functional>
#include <string>

#include "base/asio.h"
#include "base/event.h"
#include "egress/mcp_message.h"

namespace agentrouter::egress {

struct RequestRecord;

struct HeldRequest {
  std::string server;  // the run's name for the MCP server; empty: another host's (outbound.h)
  std::string host;    // of the server, without its port
  std::string method;  // of HTTP; "CONNECT" for a whole connection that is carried as it is
  std::string path;    // at the server, without query; empty for a connection
  std::string head;    // what would leave before the credentials
  std::string body;
  McpMessage message;  // what it says to an MCP server
  // Of another host than an MCP server.
  std::uint16_t port = 0;
  std::string scheme = {};   // "https", "http", "tcp"
  std::string query = {};    // without "?"
  std::string encoding = {};  // of the body, as its Content-Encoding says
  std::string rule_id = {};  // of the verdict that asks
  std::string reason = {};
};

struct Pass {
  bool allowed = false;
  std::string reason = {};     // of a refusal, a stable word: policy_denied, approval_denied, ...
  std::string message = {};    // of a refusal: a sentence
  std::string action_id = {};  // the action that it is, or belongs to
  std::string call_id = {};    // of done(); empty: done() is not called
};

class RequestGate {
 public:
  virtual ~RequestGate() = default;

  // Resumes when it is decided. Throws (operation_aborted) when the task is cancelled; then nobody may let it
  // go any more. When who asked has left, `left` is notified and it resumes refused.
  struct Asker {
    base::Event& left;
    const bool& is_gone;
  };
  [[nodiscard]] virtual base::Task<Pass> pass(HeldRequest request, Asker asker) = 0;
  // What was allowed with a call id has ended, in whatever way.
  virtual void done(const std::string& call_id, const RequestRecord& record) = 0;
};

}  // namespace agentrouter::egress
