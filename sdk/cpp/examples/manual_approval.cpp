// Nothing starts before somebody has looked at exactly what it is.
#include "settings.hpp"

int main(int argc, char** argv) {
  return example::run([&] {
    const agentrouter::Client client(example::server());
    const auto stream = agentrouter::stream_agent(
        client, {.task = example::task(argc, argv, "Run the repository tests and summarize failures."),
                 .runtime = agentrouter::codex({.mode = "full_access"}),
                 .approval_mode = "manual"});

    for (const auto& part : stream.full_stream()) {
      if (const auto* request = std::get_if<agentrouter::ApprovalRequestPart>(&part)) {
        std::cout << request->text << '\n';
        client.approve_run_action({.run_id = stream.run().id,
                                   .action_id = request->action_id,
                                   .action_digest = request->action_digest,
                                   .reason = "Approved by CI policy"});
      }
      if (const auto* execution = std::get_if<agentrouter::ExecutionPart>(&part)) {
        std::cout << "execution " << agentrouter::to_string(execution->status) << '\n';
      }
    }
    std::cout << agentrouter::to_string(stream.final_result().status) << '\n';
  });
}
