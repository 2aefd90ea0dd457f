#pragma once
// What a request to an MCP server asks for, read from its body: whether it only keeps the connection up and
// looks at what there is, calls a tool, or is anything else that may change something. Pure.

#include <string>
#include <string_view>

#include "base/json.h"

namespace agentrouter::egress {

struct McpMessage {
  enum class Kind {
    keeps_up,   // initialize, ping, lists, notifications, an answer that says nothing, the stream, the end
    tool_call,  // tools/call
    other,      // any other method, an answer to the server, several messages at once, what cannot be read
  };
  Kind kind = Kind::other;
  std::string method = {};     // "tools/call"; "(response)", "(batch)", "(unreadable)"
  std::string tool = {};       // of tool_call
  json::value arguments = {};  // of tool_call; an object, also where none were given
  bool plain = false;          // tool_call: it says nothing but its tool and arguments
  std::string id = {};         // JSON text of the request's id; empty for none
};

// `http_method` is POST, GET or DELETE; the body of the last two means nothing.
[[nodiscard]] McpMessage read_mcp_message(std::string_view http_method, std::string_view body);

// The answer to a request with this id: a JSON-RPC error, so that who waits for it need not wait on.
[[nodiscard]] std::string mcp_error(const std::string& id, std::string_view message);

}  // namespace agentrouter::egress
