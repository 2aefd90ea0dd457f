#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sandbox/init/stages.h"
#include "sandbox/init/system.h"

using namespace agentrouter::sandbox::init;

namespace {
Setup setup;
}

int main() {
  fcntl(control_fd, F_SETFD, FD_CLOEXEC);
  prctl(PR_SET_NAME, "init", 0, 0, 0);
  int sources[max_sources];
  unsigned count = 0;
  const int got = receive(&setup, sizeof setup, sources, max_sources, &count);
  if (got == 0) _exit(0);
  errno = EPROTO;
  require(got == sizeof setup && setup.spec.version == version, "read the set-up");
  require(setup.spec.bind_count <= max_binds && setup.spec.layer_count <= max_layers &&
              setup.spec.home_layers <= setup.spec.layer_count &&
              count == setup.spec.bind_count + setup.spec.layer_count + 2,
          "read the set-up", "(descriptors)");
  take_ids(setup);
  const auto grounds = build_root(setup, sources);
  const int listener = open_network(setup);
  confine(setup);
  send_reply(reply_ready, 0, 0, 0, "", listener);
  close(listener);
  memset(setup.host_paths, 0, sizeof setup.host_paths);
  serve(setup, grounds);
}
