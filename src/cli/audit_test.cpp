#include "cli/commands_test.h"
#include "model/audit.h"

namespace agentrouter::cli {
namespace {

struct AuditCommand : CommandsTest {
  AuditCommand() {
    std::string previous = model::audit_origin();
    for (std::int64_t number = 1; number <= 4; ++number) {
      model::AuditEntry entry;
      entry.number = number;
      entry.run_id = model::RunId("run_1");
      entry.sequence = number - 1;
      entry.type = number == 1 ? "run.created" : "policy.evaluated";
      entry.payload_digest = base::json_digest(payload(number - 1));
      entry.previous = previous;
      entry.hash = previous = model::audit_hash(entry.to_json());
      lines.push_back(base::to_canonical(entry.to_json()));
    }
    head = previous;
  }
  static json::object payload(std::int64_t sequence) { return {{"n", sequence}, {"a", "\u00e9"}}; }
  std::string file(const std::string& name, const std::vector<std::string>& texts) {
    std::ofstream out_file(folder / name, std::ios::binary);
    for (const auto& text : texts) out_file << text << '\n';
    return folder / name;
  }
  std::vector<std::string> events(std::int64_t changed = 0) {
    std::vector<std::string> all;
    for (std::int64_t sequence = 1; sequence <= 3; ++sequence)
      all.push_back(R"({"runId":"run_1","sequence":)" + std::to_string(sequence) +
                    R"(,"type":"policy.evaluated","payload":)" +
                    base::to_text(payload(sequence == changed ? 99 : sequence)) + "}");
    return all;
  }
  int verify(Command command) {
    out.str("");
    err.str("");
    command.verb = "verify";
    return verify_audit(command, in, out, err);
  }
  std::vector<std::string> lines;
  std::string head;
};

TEST_F(AuditCommand, AnExportIsEveryPageInItsCanonicalForm) {
  server.on("GET /v1/audit", reply(200, R"({"items":[)" + lines[0] + "," + lines[1] +
                                            R"(],"nextAfter":2,"head":{"number":4,"hash":")" + head + "\"}}"));
  EXPECT_EQ(run(audit, {.after = 7, .verb = "export"}), 0);
  EXPECT_EQ(out.str(), lines[0] + "\n" + lines[1] + "\n");
  EXPECT_EQ(server.requests().at(0).target, "/v1/audit?after=7&limit=1000");
  out.str("");
  EXPECT_EQ(run(audit, {.verb = "head"}), 0);
  EXPECT_EQ(out.str(), "4:" + head + "\n");
}

TEST_F(AuditCommand, VerifyingNeedsNoServerAndSaysWhereTheChainBreaks) {
  const auto whole = file("whole", lines);
  EXPECT_EQ(verify({.file = whole}), 0);
  EXPECT_THAT(out.str(), HasSubstr("Intact: 4 entries, 1 to 4, head 4:" + head));
  EXPECT_EQ(verify({.json = true, .file = whole}), 0);
  EXPECT_THAT(out.str(), HasSubstr(R"({"intact":true,"entries":4,"first":1,"last":4)"));
  auto broken = lines;
  broken.erase(broken.begin() + 1);
  EXPECT_EQ(verify({.file = file("broken", broken)}), 1);
  EXPECT_THAT(err.str(), HasSubstr("broken: entry 3: entry 2 before it is missing (audit_missing)"));
  EXPECT_EQ(verify({.json = true, .file = file("broken", broken)}), 1);
  EXPECT_THAT(out.str(), HasSubstr(R"("intact":false)"));
  EXPECT_EQ(verify({.file = whole, .head = head}), 0);
  EXPECT_EQ(verify({.file = whole, .head = "5:" + head}), 0);
  EXPECT_EQ(verify({.file = file("short", {lines[0], lines[1]}), .head = "4:" + head}), 1);
  EXPECT_THAT(err.str(), HasSubstr("audit_truncated"));
  in.str(lines[0] + "\n");
  EXPECT_EQ(verify({.file = "-"}), 0);
}

TEST_F(AuditCommand, AnExportIsVerifiedFromTheOneBefore) {
  const auto first = file("first", {lines[0], lines[1]});
  const auto rest = file("rest", {lines[2], lines[3]});
  EXPECT_EQ(verify({.file = rest}), 1);
  EXPECT_EQ(verify({.file = rest, .from_export = first}), 0);
  EXPECT_EQ(verify({.file = rest, .part = true}), 0);
  EXPECT_EQ(verify({.file = file("last", {lines[3]}), .from_export = first}), 1);
  EXPECT_THAT(err.str(), HasSubstr("entries 3 to 3 are missing"));
}

TEST_F(AuditCommand, EventsOfARunAreComparedWithTheChain) {
  const auto whole = file("whole", lines);
  EXPECT_EQ(verify({.file = whole, .events_file = file("events", events())}), 0);
  EXPECT_THAT(out.str(), HasSubstr("3 events are as they were"));
  EXPECT_EQ(verify({.file = whole, .events_file = file("events", events(2))}), 1);
  EXPECT_THAT(err.str(), HasSubstr("event 2 of run_1 has another payload (audit_event_differs)"));
  auto missing = events();
  missing.erase(missing.begin() + 1);
  EXPECT_EQ(verify({.file = whole, .events_file = file("events", missing)}), 1);
  EXPECT_THAT(err.str(), HasSubstr("event 2 of run_1 is not in the file of events"));
  auto more = events();
  more.insert(more.begin(), R"({"runId":"run_1","sequence":0,"type":"approval.decided","payload":{}})");
  EXPECT_EQ(verify({.file = whole, .events_file = file("events", more)}), 1);
  EXPECT_THAT(err.str(), HasSubstr("event 0 of run_1 (approval.decided) is not in the chain"));
  auto other = events();
  for (auto& event : other) event.replace(event.find("run_1"), 5, "run_2");
  EXPECT_EQ(verify({.file = whole, .events_file = file("events", other)}), 1);
  EXPECT_THAT(err.str(), HasSubstr("no entry about run run_2"));
}

TEST_F(AuditCommand, WhatCannotBeReadIsAMistakeOfUse) {
  const auto whole = file("whole", lines);
  const auto told = [&](Command command) { return message_of([&] { (void)verify(std::move(command)); }); };
  EXPECT_THAT(told({}), HasSubstr("name the export"));
  EXPECT_THAT(told({.file = folder / "nothing"}), HasSubstr("cannot read"));
  EXPECT_THAT(told({.file = whole, .head = "abc"}), HasSubstr("--head"));
  EXPECT_THAT(told({.file = whole, .from_export = file("empty", {})}), HasSubstr("is empty"));
  EXPECT_THAT(told({.file = whole, .from_export = file("odd", {"{}"})}), HasSubstr("broken itself"));
  EXPECT_THAT(told({.file = whole, .events_file = file("none", {"{}"})}), HasSubstr("has no event"));
  EXPECT_THAT(told({.file = whole, .events_file = file("bad", {"x"})}), HasSubstr("JSON"));
}

}  // namespace
}  // namespace agentrouter::cli
