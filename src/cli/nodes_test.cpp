#include "cli/commands_test.h"

namespace agentrouter::cli {
namespace {

const std::string node_json =
    R"({"id":"host_1","role":"worker","version":"0.1.0","labels":{"gpu":["false"],"runtime":["codex"]},)"
    R"("capacity":4,"used":1,"lastSeenAt":"2026\u001b[2J","draining":)";

TEST_F(CommandsTest, NodesAreListedWithWhatTheyHave) {
  server.on("GET /v1/nodes", reply(200, R"({"items":[)" + node_json + R"(true},{"id":"host_2","role":"api",)"
                                            R"("version":"0.1.0","labels":{},"capacity":0,"used":0,)"
                                            R"("draining":false,"lastSeenAt":"2026"}]})"));
  EXPECT_EQ(run(nodes, {.verb = "list"}), 0);
  EXPECT_THAT(out.str(), HasSubstr("host_1  worker  0.1.0  1/4 runs  draining  seen 2026"));
  EXPECT_THAT(out.str(), HasSubstr("\n  gpu=false runtime=codex\nhost_2  api  0.1.0  seen 2026\n"));
  EXPECT_EQ(out.str().find('\x1b'), std::string::npos);
}

TEST_F(CommandsTest, ANodeIsDrainedByItsId) {
  server.on("POST /v1/nodes/host_1/drain", reply(200, R"({"node":)" + node_json + "true}}"));
  EXPECT_EQ(run(nodes, {.verb = "drain", .node_id = "host_1"}), 0);
  EXPECT_EQ(server.requests().back().body, "{}");
  EXPECT_THAT(out.str(), HasSubstr("draining"));
  for (const auto* id : {"", "../runs", "A"})
    EXPECT_THROW((void)run(nodes, {.verb = "undrain", .node_id = id}), UsageError) << id;
}

}  // namespace
}  // namespace agentrouter::cli
