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

int main(int argc, char** argv) {
  fcntl(control_fd, F_SETFD, FD_CLOEXEC);
  prctl(PR_SET_NAME, "init", 0, 0, 0);
  const char* word = argc > 1 ? argv[1] : "";
  if (strcmp(word, stage_word) == 0) stage_container();
  if (strcmp(word, guest_word) == 0) send_reply(reply_started, 0, 0, 0, "");
  int sources[max_sources];
  unsigned count = 0;
  const int got = receive(&setup, sizeof setup, sources, max_sources, &count);
  if (got == 0) _exit(0);
  errno = EPROTO;
  require(got == sizeof setup && setup.spec.version == version, "read the set-up");
  require(setup.spec.bind_count <= max_binds && setup.spec.layer_count <= max_layers &&
              setup.spec.home_layers <= setup.spec.layer_count && setup.spec.outbound_count <= max_outbound &&
              setup.spec.library_count <= max_libraries &&
              count == setup.spec.bind_count + setup.spec.layer_count + 2 + count_image(setup.spec),
          "read the set-up", "(descriptors)");
  take_ids(setup);
  const auto grounds = build_root(setup, sources);
  int out[max_outbound + 3] = {open_network(setup)};
  const unsigned opened = 1 + open_outbound(setup, out + 1);
  const auto fences = make_fences(setup, grounds);
  confine(setup);
  send_ready(out, opened);
  for (unsigned i = 0; i < opened; ++i) close(out[i]);
  memset(setup.host_paths, 0, sizeof setup.host_paths);
  serve(setup, grounds, fences);
}
