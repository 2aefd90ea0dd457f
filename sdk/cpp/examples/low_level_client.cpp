// One call per request of the API, for whoever needs the control.
#include <filesystem>

#include "settings.hpp"

int main(int argc, char** argv) {
  return example::run([&] {
    const agentrouter::Client client(example::server());

    const auto run =
        client.create_run({.task = example::task(argc, argv, "Create summary.txt about the tests."),
                           .runtime = agentrouter::codex({.mode = "full_access"}),
                           .metadata = agentrouter::Json::object({{"source", "ci"}}),
                           .tags = {{"branch", "main"}},
                           .idempotency_key = "pr-123-review"});

    for (const auto& event : client.stream_run(run.id))
      std::cout << event.sequence << ' ' << event.type << '\n';

    const auto session = client.get_run_session(run.id);
    std::cout << (session.response ? session.response->text : "no answer") << '\n';

    for (const auto& artifact : client.list_run_artifacts(run.id).items) {
      if (artifact.kind != "workspace_patch") continue;
      const auto patch = client.download_artifact(run.id, artifact.id);  // to memory
      const auto file = std::filesystem::temp_directory_path() / (run.id + ".patch");
      client.download_artifact(run.id, artifact.id, file);  // to a file
      std::size_t bytes = 0;
      client.download_artifact(run.id, artifact.id,
                               agentrouter::Sink([&](std::string_view piece) { bytes += piece.size(); }));
      std::cout << "patch of " << patch.size() << " bytes, " << bytes << " in pieces\n";
      std::filesystem::remove(file);
    }

    for (const auto& found : client.list_all_runs({.status = "completed", .tags = {{"branch", "main"}}})) {
      std::cout << found.id << ' ' << found.task << '\n';
    }
    const auto record = client.get_run_record(run.id);
    std::cout << "record of " << record.run.id << '\n';
  });
}
