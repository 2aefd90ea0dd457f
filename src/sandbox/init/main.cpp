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
int sources[max_sources];

// False: nobody has use for this sandbox.
bool read_setup(bool second) {
  unsigned count = 0;
  const int got = receive(&setup, sizeof setup, sources, max_sources, &count);
  if (got == 0) return false;
  errno = EPROTO;
  const auto& spec = setup.spec;
  require(got == sizeof setup && spec.version == version && (setup.part == part_run) == second, "read the set-up");
  require(spec.bind_count <= max_binds && spec.layer_count <= max_layers && spec.home_layers <= spec.layer_count &&
              spec.outbound_count <= max_outbound && spec.library_count <= max_libraries &&
              count == count_sources(setup),
          "read the set-up", "(descriptors)");
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  fcntl(control_fd, F_SETFD, FD_CLOEXEC);
  prctl(PR_SET_NAME, "init", 0, 0, 0);
  const char* word = argc > 1 ? argv[1] : "";
  if (strcmp(word, stage_word) == 0) stage_container();
  if (strcmp(word, guest_word) == 0) send_reply(reply_started, 0, 0, 0, "");
  if (!read_setup(false)) _exit(0);
  take_ids(setup);
  prepare_root(setup, sources);
  int out[max_outbound + 3] = {open_network(setup)};
  const unsigned opened = 1 + open_outbound(setup, out + 1);
  const auto fences = prepare_fences(setup);
  if (setup.part == part_common) {
    send_reply(reply_prepared, 0, 0, 0, "");
    if (!read_setup(true)) _exit(0);
    open_run_sources(setup, sources);
  }
  const auto grounds = enter_root(setup);
  finish_fences(fences, setup, grounds);
  confine(setup);
  send_ready(out, opened);
  for (unsigned i = 0; i < opened; ++i) close(out[i]);
  memset(setup.host_paths, 0, sizeof setup.host_paths);
  serve(setup, grounds, fences);
}
