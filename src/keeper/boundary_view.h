#pragma once
// Looks around in the place that an agent is about to be started in, with what the agent will have, for what
// must not be there: a secret, a descriptor, a socket. The surfaces:
//
//   env          the environment
//   proc         what /proc shows of each process: its arguments, its environment, its memory where it may be
//   read home         the agent's home files        every other file that is not the host's /usr: /etc, /tmp,
//   the agent's program, an image's system sockets      other interfaces than the loopback, listeners that
//   are not the way out, unix sockets descriptors  what is open and is not ours
//
// The workspace is looked at, too, but a secret that lies there is the user's own: it is reported, and is no
// finding. Files are read to limits of count, bytes and time, in that order of importance.

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/redactor.h"

namespace agentrouter::keeper {

struct LookLimits {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  std::uint64_t file_bytes = 0;  // of one file
  std::chrono::milliseconds time{0};  // of a processor; on the wall's clock at most 20 times as much
  std::uint64_t head_bytes = 0;  // not 0: of a longer file so much is looked at, and that is enough
};

struct BoundaryView {
  std::string root = "/";  // what is looked at; another one in tests
  std::set<int> own_descriptors;
  std::vector<std::uint16_t> outbound_ports;  // that listen on every address
  std::vector<std::string> environment;       // NAME=VALUE, beside that of the process that looks
  enum class System { of_host, of_image } system = System::of_host;  // what /usr is
  LookLimits home{20'000, 64u << 20, 16u << 20, std::chrono::milliseconds(60)};
  LookLimits files{5'000, 16u << 20, 256u << 10, std::chrono::milliseconds(20), 16u << 10};
  LookLimits image{20'000, 64u << 20, 256u << 10, std::chrono::milliseconds(60), 16u << 10};
  LookLimits workspace{20'000, 64u << 20, 1u << 20, std::chrono::milliseconds(25)};
};

struct BoundaryReport {
  std::string surface;  // empty: nothing was found
  std::string where;    // "variable NAME", "/home/agent/x": without any secret
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::uint64_t processes = 0;
  bool complete = true;  // everything outside of the workspace was looked at
  bool workspace_complete = true;
  bool workspace_holds_secret = false;

  [[nodiscard]] json::object to_json() const;
  // Errors: invalid.
  [[nodiscard]] static base::Result<BoundaryReport> parse(std::string_view text);
};

// Stops at the first finding. What cannot be read cannot be read by the agent either.
[[nodiscard]] BoundaryReport look_around(const BoundaryView& view, const base::Redactor& secrets);

}  // namespace agentrouter::keeper
