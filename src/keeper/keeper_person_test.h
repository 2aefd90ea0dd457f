#pragma once
// For tests of this room: an attempt with a person who decides, and a host that programs of the sandbox reach.

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>

#include "keeper/keeper_fixture_test.h"
#include "net/server.h"

namespace agentrouter::keeper {

// An MCP server that writes down what it is asked.
class Tracker final : public net::Handler {
 public:
  base::Task<void> handle(net::Exchange& exchange) override {
    auto body = co_await exchange.read_body();
    bodies.push_back(exchange.request().method + " " + body.value_or(""));
    net::Response response;
    response.headers.add("content-type", "application/json");
    response.body = R"({"jsonrpc":"2.0","id":1,"result":{}})";
    co_await exchange.respond(std::move(response));
  }
  std::vector<std::string> bodies;
};

inline net::Response no_reply(const net::ServerError& error) {
  return {error.status, {}, ""};
}

inline policy::Rules rules(std::string_view text) {
  return base::value_or_throw(policy::Rules::parse(base::value_or_throw(base::parse_json(text)).as_object()));
}

class KeeperPersonTest : public KeeperTest {
 protected:
  void run(const std::string& says, std::function<base::Task<void>(LineSocket&)> person) {
    agent({.says = says});
    person_ = std::move(person);
    keep([this](LineSocket socket) { return attend(std::move(socket)); });
  }
  base::Task<void> attend(LineSocket socket) {
    (void)co_await socket.write(to_line(ServerMessage(LeaseMessage{1})));
    co_await person_(socket);
    co_await until_bye(socket);
    (void)co_await socket.write(to_line(ServerMessage(DoneMessage{})));
  }
  // The question with this number, once it is in the journal.
  base::Task<DecisionMessage> question(LineSocket& socket, std::size_t number) {
    for (;;) {
      read_all();
      std::vector<json::object> questions;
      for (const auto& record : records_)
        if (record.kind == "question") questions.push_back(record.data);
      if (questions.size() > number) {
        const auto& one = questions[number];
        co_return DecisionMessage{std::string(*base::get_string(one, "actionId")),
                                  std::string(*base::get_string(one, "actionDigest")), DecisionKind::approved,
                                  "evt_decision"};
      }
      auto line = co_await socket.read_line();
      if (!line) base::throw_failure(base::Code::internal, "no such question");
    }
  }
  base::Task<void> say(LineSocket& socket, ServerMessage message) {
    (void)co_await socket.write(to_line(message));
  }
  base::Task<void> approve(LineSocket& socket, std::size_t number) {
    auto decision = co_await question(socket, number);
    co_await say(socket, decision);
  }
  // `wire` to a listening socket, and all that comes back.
  base::Task<std::string> exchange(int listener, std::string wire) {
    sockaddr_in address = {};
    socklen_t size = sizeof address;
    ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
    asio::basic_stream_socket<asio::ip::tcp, base::Executor> socket(io_.get_executor());
    co_await socket.async_connect({asio::ip::address_v4::loopback(), ntohs(address.sin_port)}, base::use_task);
    co_await asio::async_write(socket, asio::buffer(wire), base::use_task);
    std::string answer;
    boost::system::error_code error;
    co_await asio::async_read(socket, asio::dynamic_buffer(answer), asio::redirect_error(base::use_task, error));
    co_return answer;
  }

  std::vector<std::string> tools_proposed() const {
    std::vector<std::string> names;
    for (const auto& event : payloads("action.proposed"))
      names.emplace_back(*base::get_string(event, "actionName"));
    return names;
  }

  std::function<base::Task<void>(LineSocket&)> person_;
};

}  // namespace agentrouter::keeper
