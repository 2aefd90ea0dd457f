#include "apps/takeover_protocol.h"

#include <limits>

#include "base/json.h"

namespace agentrouter::apps::takeover {

namespace {

template <class... Each>
struct Cases : Each... {
  using Each::operator()...;
};
template <class... Each>
Cases(Each...) -> Cases<Each...>;

json::object typed(std::string_view type) {
  return json::object{{"type", type}};
}

base::Result<int> protocol_of(const json::object& object) {
  const auto number = base::get_int(object, "protocol");
  if (!number || *number < 1 || *number > std::numeric_limits<int>::max())
    return base::fail(base::Code::invalid, "a message of a takeover without a protocol");
  return static_cast<int>(*number);
}

base::Result<Message> parse_welcome(const json::object& object) {
  Welcome welcome;
  AGENTROUTER_TRY(welcome.protocol, protocol_of(object));
  if (welcome.protocol != protocol) return Message(std::move(welcome));
  const auto* sockets = base::get_array(object, "sockets");
  if (sockets == nullptr || sockets->size() > fds_of_message)
    return base::fail(base::Code::invalid, "a welcome without sockets");
  for (const auto& one : *sockets) {
    const auto* socket = one.if_object();
    const auto activated = socket != nullptr ? base::get_bool(*socket, "activated") : std::nullopt;
    if (!activated) return base::fail(base::Code::invalid, "a welcome with a socket that is none");
    welcome.activated.push_back(*activated);
  }
  return Message(std::move(welcome));
}

}  // namespace

std::string to_text(const Message& message) {
  const Cases cases{
      [](const Hello& hello) {
        auto object = typed("hello");
        object["protocol"] = hello.protocol;
        return object;
      },
      [](const Welcome& welcome) {
        auto object = typed("welcome");
        object["protocol"] = welcome.protocol;
        json::array sockets;
        for (const bool activated : welcome.activated) sockets.push_back(json::object{{"activated", activated}});
        object["sockets"] = std::move(sockets);
        return object;
      },
      [](const Refused& refused) {
        auto object = typed("refused");
        object["protocol"] = refused.protocol;
        object["code"] = refused.code;
        object["message"] = refused.message;
        return object;
      },
      [](const Go&) { return typed("go"); },
      [](const Connections&) { return typed("connections"); },
      [](const Yours&) { return typed("yours"); },
      [](const Ready&) { return typed("ready"); },
  };
  return base::to_text(std::visit(cases, message));
}

base::Result<Message> parse(std::string_view text) {
  AGENTROUTER_TRY(const auto value, base::parse_json(text, {.max_depth = 4, .max_bytes = message_bytes}));
  const auto* object = value.if_object();
  const auto type = object != nullptr ? base::get_string(*object, "type").value_or("") : std::string_view();
  if (type == "hello") {
    Hello hello;
    AGENTROUTER_TRY(hello.protocol, protocol_of(*object));
    return Message(hello);
  }
  if (type == "welcome") return parse_welcome(*object);
  if (type == "refused") {
    Refused refused;
    AGENTROUTER_TRY(refused.protocol, protocol_of(*object));
    refused.code = base::get_string(*object, "code").value_or("");
    refused.message = base::get_string(*object, "message").value_or("");
    return Message(std::move(refused));
  }
  if (type == "go") return Message(Go{});
  if (type == "connections") return Message(Connections{});
  if (type == "yours") return Message(Yours{});
  if (type == "ready") return Message(Ready{});
  return base::fail(base::Code::invalid, "a message of a takeover that is none");
}

}  // namespace agentrouter::apps::takeover
