#pragma once
// The inside of Egress: the handler behind the sandbox's listener. Internal to egress.

#include <memory>
#include <optional>
#include <string>

#include "egress/counted.h"
#include "egress/departure.h"
#include "egress/egress.h"
#include "egress/forward.h"
#include "egress/route.h"
#include "net/server.h"

namespace agentrouter::egress {

class Egress::Front final : public net::Handler {
 public:
  Front(base::Executor executor, Config config, Observer& observer);

  [[nodiscard]] Task<void> handle(net::Exchange& exchange) override;

  [[nodiscard]] Task<Result<Answer>> ask(std::string path, std::string body, base::Deadline deadline);

  [[nodiscard]] net::Server& server() { return server_; }
  [[nodiscard]] std::size_t open_forwards() const { return open_forwards_; }
  void hold() { departure_.hold(); }
  void release() { departure_.release(); }

 private:
  class Tally;

  Task<void> serve_route(net::Exchange& exchange, const Route& route, RequestRecord& record);
  Task<void> forward_to(net::Exchange& exchange, Destination destination, RequestRecord& record);
  // The body of a request to a provider as it may leave: the first piece of it, or all where tools are taken
  // out of it. Nothing: it was answered.
  struct Body {
    std::string first;
    std::optional<std::size_t> size;  // of the whole, when it is another one
  };
  // The whole body, of at most `most` bytes, of not too many requests at once. Nothing: it was answered.
  Task<std::optional<std::string>> whole_body(net::Exchange& exchange, std::uint64_t most,
                                              RequestRecord& record);
  Task<std::optional<Body>> body_for_provider(net::Exchange& exchange, RequestRecord& record);
  Task<void> forward_to_mcp(net::Exchange& exchange, const std::string& name, RequestRecord& record);
  struct Mcp;
  // Asks the gate. Nothing: it was answered.
  Task<std::optional<Pass>> let_pass(net::Exchange& exchange, const Mcp& server, const std::string& body,
                                     McpMessage message, RequestRecord& record);
  Task<void> send_to_mcp(net::Exchange& exchange, const Mcp& server, std::string body, std::string rpc_id,
                         RequestRecord& record);
  Task<void> simulate(net::Exchange& exchange, RequestRecord& record);
  // The simulator's answer, or the recorded one.
  [[nodiscard]] sim::Reply made_answer(const std::string& method, const std::string& target, const std::string& path,
                                       const std::vector<sim::Header>& headers, const std::string& body);
  // Keeps what is asked and answered, where that is wanted.
  [[nodiscard]] std::unique_ptr<CassetteWriter::Take> take_of(const std::string& method, const std::string& path,
                                                              std::string_view body);
  Task<void> play(net::Exchange& exchange, std::string body, RequestRecord& record,
                  Spending::Metering* metering);
  Task<Result<Answer>> ask_upstream(std::string path, std::string body, base::Deadline deadline,
                                    RequestRecord& record);
  Task<Result<Answer>> ask_simulator(std::string path, std::string body, base::Deadline deadline,
                                     RequestRecord& record);
  Task<void> deny(net::Exchange& exchange, int status, std::string reason, std::string message,
                  RequestRecord& record);
  // What a request to a provider may use; null where nothing is counted, or where it is not understood and
  // need not be. Errors: those of read_request and Spending::admit.
  using Meter = std::unique_ptr<Spending::Metering>;
  [[nodiscard]] Task<Result<Meter>> meter(const net::Request& request, std::string_view body);
  // The same for a request of the sandbox. False: it was answered.
  [[nodiscard]] Task<bool> admit(net::Exchange& exchange, std::string_view body, RequestRecord& record,
                                 Meter& meter);
  // Whether a request may leave for a provider; asks the observer for the first one. False: it was answered.
  Task<bool> permit(net::Exchange& exchange, RequestRecord& record);
  net::Response refuse_broken(int status, std::string_view code, std::string_view message);
  void report_denial(const RequestRecord& record);

  struct Mcp {
    const McpUpstream& upstream;
    std::vector<std::string> added;  // names of the fields
    Credential credential;
  };

  Config config_;
  Observer& observer_;
  std::optional<Credential> openai_;
  std::optional<Credential> anthropic_;
  std::vector<Mcp> mcp_;
  std::uint64_t total_bytes_ = 0;
  std::uint64_t denials_ = 0;
  std::size_t open_forwards_ = 0;
  std::size_t reading_ = 0;  // bodies that are read whole
  Departure departure_;
  net::Server server_;
};

}  // namespace agentrouter::egress
