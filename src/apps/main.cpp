// agentrouter: one program; the first word says which part of it runs.

#include <sodium.h>

#include <iostream>

#include "apps/agent_store.h"
#include "apps/commands.h"
#include "apps/environment.h"
#include "cli/cli.h"
#include "keeper/collection.h"
#include "keeper/credential_boundary.h"
#include "keeper/fetch/fetcher.h"
#include "keeper/keeper.h"
#include "sandbox/oci/libraries.h"
#include "sandbox/plan.h"
#include "sandbox/warden.h"
#include "workspace/checkpoint.h"
#include "workspace/collector.h"
#include "workspace/files_command.h"
#include "workspace/image.h"
#include "workspace/unpack.h"

namespace {

using namespace agentrouter;

int run_warden_command() {
  const auto done = sandbox::run_warden(sandbox::warden_fd);
  return done ? 0 : 1;
}

int run(int argc, char** argv) {
  if (sodium_init() < 0) return 1;
  const std::string command = argc > 1 ? argv[1] : "";
  // Parts that the server starts: they get no environment and parse no arguments.
  if (command == "keeper") return keeper::run_keeper();
  if (command == "fetcher") return keeper::run_fetcher();
  if (command == "warden") return run_warden_command();
  for (const char* inside : {"collect", "read-files", "checkpoint", "check-boundary", "restore-state"}) {
    if (command == inside) sandbox::leave_loader();
  }
  if (command == "collect") return workspace::run_collector(workspace::collect_what(argc > 2 ? argv[2] : ""));
  if (command == "read-files" && argc > 2) return workspace::run_files(argv[2]);
  if (command == "checkpoint") return workspace::run_checkpointer({argv + 2, argv + argc});
  if (command == "unpack") return workspace::run_unpacker(argc > 2 ? argv[2] : "");
  if (command == "check-boundary") return keeper::run_boundary_checker({argv + 2, argv + argc});
  if (command == "unpack-image" && argc > 3) return workspace::run_image_unpacker(argv[2], argv[3]);
  if (command == "restore-state") {
    const bool files_only = argc > 2 && std::string(argv[2]) == keeper::restore_files_only;
    return workspace::run_restorer(sandbox::workspace_path, files_only ? nullptr : sandbox::home_path);
  }

  const std::vector<std::string> rest(argv + std::min(argc, 2), argv + argc);
  const auto environment = apps::Environment::current();
  if (command == "serve") return apps::serve_command(rest, environment);
  if (command == "sim") return apps::sim_command(rest);
  if (command == "doctor") return apps::doctor_command(rest, environment);
  if (command == "backup") return apps::backup_command(rest, environment);
  if (command == "restore") return apps::restore_command(rest, environment);
  if (command == "migrate") return apps::migrate_command(rest, environment);
  if (command == "fsck") return apps::fsck_command(rest, environment);
  if (command == "upload-blobs") return apps::upload_blobs_command(rest, environment);
  if (command == "agents") return apps::agents_command(rest, environment);
  if (command == "policy") return apps::policy_command(rest, environment);
  return cli::run_client_command(argc, argv);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "agentrouter: " << error.what() << "\n";
    return 1;
  }
}
