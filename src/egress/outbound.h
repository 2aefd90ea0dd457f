#pragma once
// The way out of one sandbox to hosts that the run's policy allows, without proxy settings inside: names are
// looked up and connections are accepted by sockets that live in the sandbox's network namespace and are
// served out here.
//
//   names        a name that no rule knows does not exist, and nobody outside is asked; others get an address
//                of 198.18.0.0/15 that stands for the name in this sandbox only
//   http         each request is judged by host, port, method and path
//   https        judged by the name that was looked up and the SNI, which must be the same; carried as it is.
//                Where a rule needs to see requests (method, path, secret) TLS ends here, with a certificate
//                of the run's own authority, and begins again, verified, to the host
//   tcp          carried as it is
//
// A host is looked up out here at each connection; every address is judged (net/address.h) and what is
// connected to is the address that was judged. Connections to addresses that stand for no name are refused.
// Each request or carried connection is one record for the Observer, with `outbound` set.

#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/asio.h"
#include "base/error.h"
#include "base/event.h"
#include "base/fd.h"
#include "egress/egress.h"
#include "net/stream.h"
#include "policy/egress_rules.h"

namespace agentrouter::egress {

// The certificate authority of one run.
class Authority;

// What is added to a request outside: `[secrets]` of the configuration. Only over https, and only where this
// and the verdict agree.
struct OutboundSecret {
  std::string name;
  // Where it may go, whatever a rule says. The port is 443 unless the host names one ("host:8443").
  std::string host;
  std::vector<std::string> methods = {};  // empty: any
  std::vector<std::string> paths = {};    // globs; empty: any
  std::string header;                     // its name: "authorization"
  const Secret* value = nullptr;          // the whole field value; outlives the egress
  const Secret* plain = nullptr;  // what of it is secret, where it is not the last word; outlives the egress
};

// All addresses of a name, looked up anew. Errors: unavailable, timeout.
using Resolver =
    std::function<Task<Result<std::vector<asio::ip::address>>>(std::string host, base::Deadline deadline)>;

struct OutboundConfig {
  // Asked for every name, connection and request: the rules may become stricter while a run goes on.
  std::function<bool(const std::string& host)> knows_host;
  std::function<policy::EgressVerdict(const policy::EgressRequest& request)> judge;
  std::map<std::string, OutboundSecret> secrets;
  // Hosts ("name" or "name:port") that may be on this machine or in a private network; never link-local.
  std::vector<std::string> private_hosts;
  const Authority* authority = nullptr;  // none: what has to be inspected is refused. Outlives the egress
  RequestGate* gate = nullptr;           // asked where a verdict says so; none: refused. Outlives the egress
  const net::TlsContext* tls = nullptr;  // for hosts whose requests are inspected; outlives the egress
  Resolver resolver = {};                // none: the machine's own
  // The /15 whose addresses stand for names.
  asio::ip::address_v4 names_network{198u << 24 | 18u << 16};

  std::size_t max_connections = 1024;          // one more waits to be accepted
  std::size_t max_names = 4096;                // looked up by one sandbox; one more does not exist
  std::uint64_t request_bytes = 1ull << 30;    // of one request that is seen
  std::uint64_t response_bytes = 64ull << 30;  // of one answer that is seen, then it is cut
  std::uint64_t held_bytes = 4ull << 20;       // of one that somebody is asked about
  std::uint64_t total_bytes = 64ull << 30;     // both ways, all together; then all is refused: egress_limit
  std::uint64_t denials_reported = 20;         // as in Config
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds hello_timeout{10'000};  // for a ClientHello, or a request head
  std::chrono::milliseconds head_timeout{300'000};  // from the request's end to the head of the answer
  std::chrono::milliseconds idle_timeout{600'000};  // nothing in either direction
};

class OutboundDesk;

// Belongs to one executor, with everything it was given.
class Outbound {
 public:
  Outbound(base::Executor executor, OutboundConfig config, Observer& observer);
  ~Outbound();

  // Accepts from `listener`: TCP on `port` of every address of the sandbox. More than once.
  [[nodiscard]] Result<void> serve(base::Fd listener, std::uint16_t port);
  // Answers names: a datagram socket on port 53, and a listener for those who ask over TCP.
  [[nodiscard]] Result<void> serve_names(base::Fd datagrams, base::Fd listener);
  // Closes listeners and cuts what is under way; everything that had begun is reported before it resumes.
  // Call once, before the destructor.
  [[nodiscard]] Task<void> stop();

  // From now on nothing leaves until release(). What is under way goes on.
  void hold();
  void release();
  // Connections and requests that are under way.
  [[nodiscard]] std::size_t open() const;

 private:
  std::unique_ptr<OutboundDesk> desk_;
};

}  // namespace agentrouter::egress
