#pragma once
// The only way out of one sandbox: accepts from a listening socket that lives in the sandbox's network
// namespace, lets through what a model provider needs, adds the real credential, and counts.
//
//   POST /v1/responses                             the OpenAI upstream (or the simulator)
//   POST /v1/messages, /v1/messages/count_tokens   the Anthropic upstream, when there is one
//   GET  /v1/models                                answered here
//   POST, GET, DELETE /mcp/<name>                  a remote MCP server that this run is given
//
// A websocket upgrade is answered 426, another upgrade and everything else 403, another Host or a target that
// is not a path 403. Bodies stream both ways and are not held as a whole, except for the simulator, for MCP
// servers, whose requests are held until somebody has decided about them (request_gate.h), where tools are
// taken out of them (tool_filter.h), and where a limit or a price needs them to be understood (spending.h).
// The answer is searched for the key; one that holds it is cut before the key's first byte.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/asio.h"
#include "base/error.h"
#include "base/event.h"
#include "base/fd.h"
#include "egress/request_gate.h"
#include "egress/secret.h"
#include "egress/spending.h"
#include "egress/tool_filter.h"
#include "egress/usage.h"
#include "net/stream.h"
#include "net/url.h"

namespace agentrouter::sim {
class Simulator;
}

namespace agentrouter::egress {

using base::Result;
using base::Task;

class CassettePlayer;
class CassetteWriter;

enum class Decision {
  forwarded,  // went to the upstream (or the simulator), whatever came back
  answered,   // answered here, nothing left the machine
  denied,     // refused here
};
[[nodiscard]] std::string_view to_string(Decision decision);

struct RequestRecord {
  Decision decision = Decision::denied;
  std::string reason;  // why it was denied, or how the upstream failed: a stable word, else empty
  std::string host;    // the upstream's for a forwarded request, else what the sandbox asked for (UTF-8)
  std::string method;  // UTF-8, cut at 32 bytes
  std::string path;    // UTF-8, without query; whoever shows it cuts it
  int status = 0;      // what the sandbox was answered; 0 when nothing could be sent
  std::uint64_t bytes_out = 0;  // request body bytes that left
  std::uint64_t bytes_in = 0;   // response body bytes that came back
  std::chrono::milliseconds duration{0};
  std::optional<Usage> usage;
  std::optional<std::chrono::milliseconds> retry_after;  // what a refusal says about when to ask again
  bool by_keeper = false;                                // Egress::ask sent it, nobody in the sandbox did
  std::string mcp_server;                                // whose request it is, when it is no provider's
  std::optional<policy::Belief> belief;                  // how far the provider's usage was believed
  std::string action_id;                                 // of the action that it is, or belongs to
  std::string tool;                                      // called by an answer that was cut for it
  // Of the way out to other hosts (outbound.h), else false and empty. A connection that was carried as it is
  // has method "CONNECT", no path and no status, and is reported at its end.
  bool outbound = false;
  std::uint16_t port = 0;  // that the sandbox asked for
  std::string scheme;      // "https", "http", "tcp"; "dns" for a name that was not answered
  std::string rule_id;     // what decided, if a rule did
};

struct Answer {
  int status = 0;
  std::string body;
};

// Told about everything that happens. Calls come on the egress's executor.
class Observer {
 public:
  virtual ~Observer() = default;

  // Before the first request of this egress leaves for a provider, once. Nothing leaves until it resumes, and
  // requests that come meanwhile wait. An error refuses them with 503, and the next request asks again.
  [[nodiscard]] virtual Task<Result<void>> on_first_forward() = 0;
  // A request that was forwarded or answered here has ended.
  virtual void on_request_done(const RequestRecord& record) = 0;
  // A request that was refused. A flood of them is counted, not reported one by one: after the first
  // `denials_reported` only every power of two.
  virtual void on_denied(const RequestRecord& record, std::uint64_t total) = 0;
};

struct Upstream {
  net::Url base;                // without the "/v1" that requests carry: see upstream_base()
  const Secret* key = nullptr;  // outlives the egress
};

// The address that `OPENAI_BASE_URL` ("https://api.openai.com/v1") or `ANTHROPIC_BASE_URL` (without "/v1")
// names. Plain http is for loopback hosts only. Errors: invalid.
enum class BaseUrl { with_version, without_version };
[[nodiscard]] Result<net::Url> upstream_base(std::string_view text, BaseUrl kind);

// A remote MCP server that the operator has named. What its fields say is added on the way out, and an answer
// that holds one of them is cut, as with a provider's key. It may be on this machine or in a private network,
// but has no link-local address; redirects are not followed.
struct McpUpstream {
  struct Field {
    std::string name;
    const Secret* value = nullptr;  // outlives the egress
  };
  std::string name;
  net::Url url;
  std::vector<Field> headers;
};

// The address of one. Plain http is for loopback hosts only. Errors: invalid.
[[nodiscard]] Result<net::Url> mcp_url(std::string_view text);

struct Config {
  // What a Host field may say; the agent's base URL is http://<first>/v1.
  std::vector<std::string> authorities = {"127.83.1.1", "127.83.1.1:80"};
  std::vector<std::string> models;  // what GET /v1/models lists
  std::optional<Upstream> openai;   // none, and no simulator: 403 with reason provider_unconfigured
  std::optional<Upstream> anthropic;
  std::vector<McpUpstream> mcp;
  Spending* spending = nullptr;    // what may be spent; none: nothing is counted. Outlives the egress
  std::optional<ToolRules> tools;  // none: the model is offered what the agent says
  RequestGate* gate =
      nullptr;  // asked about requests to MCP servers; none: all may leave; outlives the egress
  sim::Simulator* simulator = nullptr;   // takes the place of every provider; outlives the egress
  CassettePlayer* player = nullptr;      // the same, with what was recorded (cassette.h)
  CassetteWriter* recorder = nullptr;    // keeps what providers are asked and answer; outlives the egress
  const net::TlsContext* tls = nullptr;  // outlives the egress; needed for https

  std::size_t max_connections = 64;           // one more is answered 503
  std::uint64_t request_bytes = 64ull << 20;  // one request body; the simulator takes 16 MiB
  std::uint64_t response_bytes = 1ull << 30;  // one response body, then it is cut
  std::uint64_t total_bytes = 16ull << 30;    // both ways, then 403 with reason egress_limit
  std::uint64_t held_bytes = 4ull << 20;      // one request body to an MCP server
  std::uint64_t denials_reported = 20;
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds head_timeout{300'000};  // from the request's end to the head of the answer
  std::chrono::milliseconds idle_timeout{300'000};  // between pieces of a body
};

// Belongs to one executor, with everything it was given.
class Egress {
 public:
  Egress(base::Executor executor, Config config, Observer& observer);
  ~Egress();

  // Accepts from `listener` (TCP, listening) from now on. May be called more than once.
  [[nodiscard]] Result<void> serve(base::Fd listener);
  // A request of the keeper's own to the provider of `path` (/v1/responses or /v1/messages): the same
  // upstream, key, limits and reports as the sandbox's requests. `body` is a JSON document that asks for one.
  //
  // Errors: unsupported (no such provider), those of Spending::admit and read_request, exhausted
  // (egress_limit, or an answer over 1 MiB), timeout, unavailable, denied (the certificate, or an answer that
  // holds the key), those of the observer.
  [[nodiscard]] Task<Result<Answer>> ask(std::string path, std::string body, base::Deadline deadline);
  // Closes listeners and cuts what is under way, then waits until nothing is left. Every request that had
  // begun is reported before it resumes. Call once, before the destructor.
  [[nodiscard]] Task<void> stop();

  // From now on no request of the sandbox leaves, to whomever: they wait until release(). What is under way
  // goes on, and the keeper's own requests are not held.
  void hold();
  void release();

  // Requests that wait for a provider's answer or are receiving it: while there are some, an agent is not
  // quiet.
  [[nodiscard]] std::size_t open_forwards() const;

 private:
  class Front;
  std::unique_ptr<Front> front_;
};

}  // namespace agentrouter::egress
