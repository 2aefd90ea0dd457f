#pragma once
// For the tests of commands: a scripted server, what is written, and a person who may sit at the terminal.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <fstream>
#include <mutex>
#include <sstream>
#include <thread>

#include "base/file.h"
#include "base/gzip.h"
#include "base/hash.h"
#include "base/id.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "scripted_server.hpp"

namespace agentrouter::cli {

using scripted::error_json;
using scripted::event_json;
using scripted::frame;
using scripted::open_stream;
using scripted::reply;
using testing::HasSubstr;
using testing::Not;

inline const std::string index_json =
    R"({"files":[{"status":" M","path":"src/a.cpp"},{"status":"??","path":"n\u001b[2Jew"}]})";

inline std::string run_json(const std::string& status, const std::string& more = "") {
  return R"({"id":"run_1","status":")" + status +
         R"(","runtime":{"kind":"codex","mode":"default"},"task":"the task","input":{},"lastEventSeq":3,)"
         R"("sessionId":null,"conversationId":"run_1","queuedAt":"2026-11-24T13:38:23.007Z",)"
         R"("startedAt":"2026-11-24T13:38:24.000Z","completedAt":"2026-11-24T13:38:36.300Z")" +
         more + "}";
}

inline std::string artifact_json(const std::string& id, const std::string& kind, const std::string& key,
                                 const std::string& bytes) {
  return R"({"id":")" + id + R"(","runId":"run_1","kind":")" + kind + R"(","r2Key":"runs/run_1/)" + key +
         R"(","sizeBytes":)" + std::to_string(bytes.size()) + R"(,"sha256":")" + base::Sha256::hex_of(bytes) +
         R"(","metadata":{},"createdAt":"2026-11-24T13:38:23.007Z"})";
}

inline std::string artifacts_json() {
  return R"({"items":[)" +
         artifact_json("artifact_1", "workspace_file_index", "workspace/file-index.json", index_json) + "," +
         artifact_json("artifact_2", "workspace_patch", "workspace/changes.patch", "the patch") + "," +
         artifact_json("artifact_3", "stdout_log", "logs/stdout/000001.ndjson.gz", base::gzip("log")) + "]}";
}

struct CommandsTest : testing::Test {
  scripted::ScriptedServer server;
  Client client{{.api_key = "k", .base_url = server.url(), .max_retries = 0}};
  std::ostringstream out;
  std::ostringstream err;
  std::istringstream in;
  std::function<bool()> line_typed;
  std::mutex typing;
  std::deque<std::string> typed;
  Output output{.out = out, .err = err};
  std::stop_source interrupt;
  std::stop_source leave;
  std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / base::new_uuid(base::system_entropy());

  CommandsTest() { std::filesystem::create_directories(folder); }
  ~CommandsTest() override { std::filesystem::remove_all(folder); }

  int run(int (*action)(const Command&, Context&), Command command) {
    if (command.run_id.empty()) command.run_id = "run_1";
    Context context{client, output, in, interrupt.get_token(), leave.get_token(), line_typed};
    return action(command, context);
  }
  // What a person types next.
  void type(const std::string& line) {
    const std::lock_guard lock(typing);
    typed.push_back(line);
  }
  void artifacts() {
    server.on("GET /v1/runs/run_1/artifacts", reply(200, artifacts_json()));
    const std::string route = "GET /v1/runs/run_1/artifacts/artifact_";
    server.on(route + "1/download", reply(200, index_json));
    server.on(route + "2/download", reply(200, "the patch"));
    server.on(route + "3/download", reply(200, base::gzip("log")));
  }
  // A run that can be created and ends as `status`.
  void run_that_ends(const std::string& status, const std::string& more = "", const std::string& type = "") {
    server.on("POST /v1/runs", reply(201, run_json("queued")));
    server.on("GET /v1/runs/run_1/stream",
              open_stream({frame(1, "sandbox.created"),
                           frame(2, "agent.tool_started", R"({"tool":"shell","title":"ls \u001b[31m-la"})"),
                           frame(3, type.empty() ? "run." + status : type)}));
    server.on(
        "GET /v1/runs/run_1/session",
        reply(200, R"({"run":)" + run_json(status, more) +
                       R"(,"eventCursor":{"lastEventSeq":3},"response":{"text":"All \u001b[31mdone."},)" +
                       R"("artifactManifest":{"status":"missing"},"artifacts":)" + artifacts_json() + "}"));
    artifacts();
  }
  // Somebody sits at the terminal: lines of type() appear one by one.
  void person() {
    line_typed = [this] {
      const std::lock_guard lock(typing);
      if (typed.empty()) return false;
      in.clear();
      in.str(typed.front() + "\n");
      typed.pop_front();
      return true;
    };
  }
  // A run that asks for an approval and goes on once it has one.
  void run_that_asks(const std::string& verb, const std::string& last) {
    const auto action = std::string("/v1/runs/run_1/actions/action_1/") + verb;
    server.on("POST /v1/runs", reply(201, run_json("queued")));
    server.on(
        "GET /v1/runs/run_1/stream", [this, action, last](scripted::Connection& connection, const auto&) {
          connection.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
          connection.send(frame(1, "approval.requested", asked));
          server.wait_for("POST " + action, 1);
          connection.send(frame(2, "approval.decided", R"({"actionId":"action_1","decision":"approved"})"));
          connection.send(frame(3, last));
          connection.close();
        });
    server.on("POST " + action, reply(200, event_json(2, "approval.decided")));
    server.on("GET /v1/runs/run_1/session",
              reply(200, R"({"run":)" + run_json(last == "run.completed" ? "completed" : "failed") +
                             R"(,"response":null,"artifacts":{"items":[]}})"));
  }
  std::string asked =
      R"({"actionId":"action_1","actionDigest":"sha256:aa","action":{"name":"codex.launch","args":)"
      R"({"cwd":"/w\u001b[2J","argvWithoutPrompt":["exec"]}}})";
  std::string message_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const UsageError& error) {
      return error.message;
    } catch (const Error& error) {
      return error.code();
    }
    return "none";
  }
};

}  // namespace agentrouter::cli
