#pragma once
// For tests of this room: a sandbox that runs a scripted agent as a coroutine, and a protocol of one word per
// line.
//
// The agent's stdout says what follows, one line each:
//   event TYPE JSON     an event of the agent
//   ask TOOL COMMAND    a question (a COMMAND that is a JSON object stands for all that would be done);
//   nothing further is read before it is answered. The agent gets "yes", or
//                       "no" with the reason
//   question TOOL COMMAND   the same, but reading goes on
//   wait                nothing further is read before everything is answered
//   withdraw N          the agent takes its Nth question back
//   say TEXT            the turn completes with this answer
//   fail CODE CAUSE     the turn fails
//   anything else       agent_protocol_error

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>
#include <csignal>
#include <deque>
#include <map>
#include <set>

#include "agents/session.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/task_scope.h"
#include "keeper/ports.h"

namespace agentrouter::keeper {

class ScriptedSession final : public agents::Session {
 public:
  agents::Outputs start() override { return {agents::SendBytes{"start\n"}}; }
  agents::Outputs feed(std::string_view bytes) override {
    rest_ += bytes;
    return take_lines({});
  }
  agents::Outputs answer(const std::string& id, agents::Answer answer, std::string_view reason) override {
    if (over_ || !asked_.erase(id)) return {};
    if (asked_.empty()) blocked_ = false;
    const bool yes = answer == agents::Answer::accept;
    const auto edited = edits_.extract(id);
    std::string word = yes ? "yes" : "no " + std::string(reason);
    if (yes && !edited.empty()) word += " " + edited.mapped();
    return take_lines({agents::SendBytes{word + "\n"}});
  }
  std::optional<agents::Ask> edit(const std::string& id, const json::object& input) override {
    if (!asked_.contains(id)) return std::nullopt;
    edits_[id] = base::get_string(input, "command").value_or("");
    return agents::Ask{.ask_id = id,
                       .tool = "shell",
                       .title = {},
                       .args = input,
                       .call_id = "call_" + id,
                       .input_digest = base::json_digest(input)};
  }
  agents::Outputs interrupt() override { return {agents::SendBytes{"interrupt\n"}}; }
  agents::Outputs ended(std::string_view status) override {
    if (over_) return {};
    agents::Outputs outputs;
    for (const auto& call : std::exchange(open_, {})) {
      outputs.push_back(agents::EmitEvent{
          "agent.tool_completed", "line", {{"callId", call}, {"status", "failed"}, {"output", ""}}});
    }
    outputs.push_back(finish(failed("agent_exited", std::string(status))));
    return outputs;
  }

 private:
  static agents::Outcome failed(std::string code, std::string reason, std::string cause = {}) {
    agents::Outcome outcome;
    outcome.failure = {std::move(code), std::move(reason), std::move(cause)};
    return outcome;
  }
  static json::object args_of(const std::string& command) {
    const auto value = base::parse_json(command);
    return value && value->is_object() ? value->as_object() : json::object{{"command", command}};
  }
  // Up to a question or the end.
  agents::Outputs take_lines(agents::Outputs outputs) {
    for (auto end = rest_.find('\n'); end != std::string::npos && !over_ && !blocked_;
         end = rest_.find('\n')) {
      const auto line = rest_.substr(0, end);
      rest_.erase(0, end + 1);
      take(line, outputs);
    }
    if (over_) rest_.clear();
    return outputs;
  }
  agents::Outcome finish(agents::Outcome outcome) {
    over_ = true;
    return outcome;
  }
  void take(const std::string& line, agents::Outputs& outputs) {
    outputs.push_back(agents::LogLine{line});
    const auto rest_after = [&line](std::size_t words) {
      std::size_t at = 0;
      for (; words > 0 && at != std::string::npos; --words) at = line.find(' ', at + 1);
      return at == std::string::npos ? std::string() : line.substr(at + 1);
    };
    if (line.starts_with("event ")) {
      const std::string type = line.substr(6, line.find(' ', 6) - 6);
      auto payload = base::parse_json(rest_after(2));
      json::object fields = payload ? payload->as_object() : json::object{};
      if (type == "agent.started") thread_ = base::get_string(fields, "threadId").value_or("");
      const auto call = std::string(base::get_string(fields, "callId").value_or(""));
      if (type == "agent.tool_started") open_.insert(call);
      if (type == "agent.tool_completed") open_.erase(call);
      outputs.push_back(agents::EmitEvent{type, "line", std::move(fields)});
    } else if (line.starts_with("ask ") || line.starts_with("question ")) {
      const auto id = std::to_string(++asks_);
      asked_.insert(id);
      blocked_ = blocked_ || line.starts_with("ask ");
      const std::string tool = rest_after(1);
      outputs.push_back(agents::Ask{.ask_id = id,
                                    .tool = tool.substr(0, tool.find(' ')),
                                    .title = {},
                                    .args = args_of(rest_after(2)),
                                    .call_id = "call_" + id,
                                    .input_digest = base::json_digest(json::value(rest_after(1)))});
    } else if (line == "wait") {
      blocked_ = !asked_.empty();
    } else if (line.starts_with("withdraw ")) {
      if (asked_.erase(rest_after(1))) outputs.push_back(agents::Withdraw{rest_after(1)});
      if (asked_.empty()) blocked_ = false;
    } else if (line.starts_with("say ")) {
      agents::Outcome outcome;
      outcome.kind = agents::OutcomeKind::completed;
      outcome.response_text = rest_after(1);
      outcome.response_event_type = "line";
      outcome.thread_id = "thread";
      outcome.usage = agents::TokenUsage{10, 2, 3, 1};
      outputs.push_back(
          agents::EmitEvent{"agent.completed", "line", {{"provider", "codex"}, {"message", "done"}}});
      outputs.push_back(finish(std::move(outcome)));
    } else if (line.starts_with("fail ")) {
      const std::string code = rest_after(1);
      auto outcome = failed(code.substr(0, code.find(' ')), "it failed", rest_after(2));
      outcome.thread_id = thread_;
      outcome.usage = agents::TokenUsage{10, 2, 3, 1};
      outputs.push_back(finish(std::move(outcome)));
    } else if (line == "interrupted") {
      agents::Outcome outcome;
      outcome.kind = agents::OutcomeKind::interrupted;
      outputs.push_back(finish(std::move(outcome)));
    } else {
      outputs.push_back(finish(failed("agent_protocol_error", "garbage")));
    }
  }

  std::string rest_;
  std::string thread_;
  int asks_ = 0;
  std::set<std::string> asked_;
  std::set<std::string> open_;  // calls
  std::map<std::string, std::string> edits_;  // commands, by ask
  bool blocked_ = false;
  bool over_ = false;
};

// What the agent does once it has read "start".
struct AgentScript {
  std::string says;                         // to stdout
  std::vector<std::string> says_next = {};  // instead, when it is started again
  std::string says_to_stderr;
  std::uint64_t floods = 0;     // bytes to stdout afterwards, without a line end
  bool leaves_at_once = false;  // exits by itself afterwards
  int exit_code = 0;
  int exit_signal = 0;
  bool obeys_interrupt = true;
  std::function<base::Task<void>()> does = {};  // before it says anything
  std::uint64_t loses_children = 0;             // to the limit of memory
  std::optional<sandbox::DiskStop> overfills = {};  // init kills everything, and says this
  bool takes_sandbox_along = false;                 // init ends with it
};

class ScriptedSandbox final : public Sandbox {
 public:
  using Stream = asio::posix::basic_stream_descriptor<base::Executor>;

  ScriptedSandbox(base::Executor executor, AgentScript script)
      : script_(std::move(script)),
        events_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        in_(executor),
        out_(executor),
        err_(executor),
        scope_(executor) {}

  base::Task<void> stop() {
    close();
    co_await scope_.cancel_and_join();
  }

  sandbox::LimitsMode limits() const override { return sandbox::LimitsMode::rlimit; }
  unsigned landlock() const override { return 0; }
  int listener() const override { return listener_; }
  void close_listener() override {}
  sandbox::Box::Outbound take_outbound() override { return std::move(outbound); }
  int control_fd() const override { return events_.get(); }
  base::Result<std::optional<sandbox::Notice>> read_notice() override {
    std::uint64_t count = 0;
    if (notices_.empty()) {
      (void)!::read(events_.get(), &count, sizeof count);
      return std::optional<sandbox::Notice>();
    }
    std::optional<sandbox::Notice> notice = notices_.front();
    notices_.pop_front();
    return notice;
  }
  base::Result<pid_t> spawn(const sandbox::Spawn& request) override {
    if (refuse_spawn) return tl::unexpected(*refuse_spawn);
    spawned = request;
    in_.assign(::fcntl(request.stdio[0], F_DUPFD_CLOEXEC, 0));
    out_.assign(::fcntl(request.stdio[1], F_DUPFD_CLOEXEC, 0));
    err_.assign(::fcntl(request.stdio[2], F_DUPFD_CLOEXEC, 0));
    if (++agent_pid > first_agent_pid && !script_.says_next.empty()) {
      script_.says = script_.says_next.front();
      script_.says_next.erase(script_.says_next.begin());
    }
    running_ = true;
    scope_.spawn(agent());
    return agent_pid;
  }
  base::Result<pid_t> collect(const sandbox::Collect& request) override {
    if (request.argv.at(1) == "checkpoint") return checkpoint(request);
    if (request.argv.at(1) == "read-files") return read_files(request);
    ++collections;
    if (refuse_collect) return base::fail(base::Code::unavailable, "no collector");
    (void)base::write_all(request.outputs.at(0), index_says);
    (void)base::write_all(request.outputs.at(1), patch_says);
    std::string report = R"({"index":{"bytes":12,"sha256":")" + std::string(64, 'a') +
                         R"(","files":2,"truncated":false},"patch":{"bytes":7,"sha256":")" +
                         std::string(64, 'b') + R"(","truncated":false})";
    if (request.argv.size() > 2) {
      (void)base::write_all(request.outputs.at(3), "a turn's patch");
      const bool kept = request.argv[2] == "kept-turn";
      turn_began_with = kept ? "layers" : base::read_all(request.outputs.at(4), 1 << 20).value_or("");
      report += R"(,"turnPatch":{"bytes":14,"sha256":")" + std::string(64, 'c') + R"(","truncated":false})";
    }
    (void)base::write_all(request.outputs.at(2), report + "}");
    notify(sandbox::Exited{collector_pid, 0, 0});
    return collector_pid;
  }
  base::Result<pid_t> restore(const sandbox::Restore& request) override {
    if (request.argv.at(1) == "check-boundary") return check(request);
    ++restorations;
    restored_bytes = base::read_all(request.files.at(0), 1 << 20).value_or("");
    if (restorer_hangs) return restorer_pid;
    (void)base::write_all(request.files.at(1), restorer_says);
    notify(sandbox::Exited{restorer_pid, 0, 0});
    return restorer_pid;
  }
  base::Result<void> freeze() override {
    ++freezes;
    frozen = true;
    return {};
  }
  base::Result<void> thaw() override {
    frozen = false;
    return {};
  }
  base::Result<void> kill_all() override {
    if (running_) exit({agent_pid, -1, 9});
    // It comes with the reply: the descriptor has nothing more to tell.
    if (restorer_hangs && restorations > 0) notices_.push_back(sandbox::Exited{restorer_pid, -1, 9});
    if (checker_hangs && checked) notices_.push_back(sandbox::Exited{checker_pid, -1, 9});
    return {};
  }
  base::Result<sandbox::DestroyProof> destroy() override {
    if (refuse_destroy) return base::fail(base::Code::timeout, "still there");
    destroyed = true;
    return sandbox::DestroyProof{.init_gone = true, .cgroup_empty = {}};
  }
  sandbox::MemoryReport memory() const override { return {.kills = memory_kills, .peak_bytes = {}}; }

  static constexpr pid_t first_agent_pid = 1000;
  pid_t agent_pid = first_agent_pid - 1;
  static constexpr pid_t collector_pid = 101;
  static constexpr pid_t restorer_pid = 102;
  static constexpr pid_t checkpointer_pid = 103;
  static constexpr pid_t checker_pid = 104;
  static constexpr pid_t first_reader_pid = 200;
  std::optional<sandbox::Spawn> spawned;
  std::optional<base::Error> refuse_spawn;
  std::optional<base::Error> refuse_check;
  bool refuse_collect = false;
  std::string index_says = "{\"files\":[]}";
  std::string patch_says = "a patch";
  bool refuse_destroy = false;
  int freezes = 0;
  bool frozen = false;
  bool destroyed = false;
  int collections = 0;
  int checkpoints = 0;
  int restorations = 0;
  bool restorer_hangs = false;
  std::string restored_bytes;
  std::string turn_began_with;  // what the collector of a later turn was given
  std::string restorer_says = "{}";
  std::optional<sandbox::Restore> checked;  // what the check of the boundary was started with
  std::string needles;                      // what it was told to look for
  std::string checked_environment;          // and at, each variable with a zero at its end
  bool checker_hangs = false;
  int checker_exit = 0;
  std::string checker_says = R"({"surface":"","where":"","files":1,"bytes":2,"processes":2,"complete":true,)"
                             R"("workspaceComplete":true,"workspaceHoldsSecret":false})";
  std::string keeps = "a checkpoint";            // added to what was restored, it is the next checkpoint
  std::uint64_t layer_bytes = 1000;              // what it says of the attempt's own layers
  std::optional<std::string> checkpointer_says;  // instead of the truth
  std::vector<std::string> left_out;
  std::uint64_t memory_kills = 0;
  std::uint64_t flooded = 0;
  std::vector<std::string> heard;  // lines of the agent's stdin

  void listen_on(int fd) { listener_ = fd; }
  sandbox::Box::Outbound outbound;

  std::vector<std::string> file_requests;
  std::vector<std::string> reader_argv;
  std::string files_answer = "frames";
  bool readers_stay = false;  // a request for files is answered and its process does not end

 private:
  base::Result<pid_t> check(const sandbox::Restore& request) {
    if (refuse_check) return tl::unexpected(*refuse_check);
    checked = request;
    needles = base::read_all(request.files.at(0), 1 << 20).value_or("");
    checked_environment = base::read_all(request.files.at(2), 1 << 20).value_or("");
    if (checker_hangs) return checker_pid;
    if (!checker_says.empty()) (void)base::write_all(request.files.at(1), checker_says);
    notify(sandbox::Exited{checker_pid, checker_exit, 0});
    return checker_pid;
  }
  pid_t read_files(const sandbox::Collect& request) {
    reader_argv = request.argv;
    file_requests.push_back(base::read_all(request.outputs.at(1), 1 << 20).value_or(""));
    const pid_t pid = first_reader_pid + static_cast<pid_t>(file_requests.size());
    (void)base::write_all(request.outputs.at(0), files_answer);
    if (!readers_stay) notify(sandbox::Exited{pid, 0, 0});
    return pid;
  }
  pid_t checkpoint(const sandbox::Collect& request) {
    ++checkpoints;
    left_out.assign(request.argv.begin() + 2, request.argv.end());
    const std::string bytes = restored_bytes + keeps;
    json::object report{{"bytes", bytes.size()},
                        {"sha256", base::Sha256::hex_of(bytes)},
                        {"entries", 2},
                        {"layerBytes", layer_bytes}};
    (void)base::write_all(request.outputs.at(0), bytes);
    (void)base::write_all(request.outputs.at(1), checkpointer_says.value_or(base::to_text(report)));
    notify(sandbox::Exited{checkpointer_pid, 0, 0});
    return checkpointer_pid;
  }
  void notify(sandbox::Notice notice) {
    notices_.push_back(notice);
    const std::uint64_t one = 1;
    (void)!::write(events_.get(), &one, sizeof one);
  }
  void exit(sandbox::Exited exited) {
    running_ = false;
    close();
    notify(exited);
    if (script_.takes_sandbox_along) notify(sandbox::Gone{});
  }
  void close() {
    boost::system::error_code ignored;
    in_.close(ignored);
    out_.close(ignored);
    err_.close(ignored);
  }
  base::Task<bool> write(Stream& stream, std::string bytes) {
    boost::system::error_code error;
    co_await asio::async_write(stream, asio::buffer(bytes), asio::redirect_error(base::use_task, error));
    co_return !error;
  }
  base::Task<void> begin() {
    if (script_.does) co_await script_.does();
    if (!script_.says_to_stderr.empty()) co_await write(err_, script_.says_to_stderr);
    if (!script_.says.empty()) co_await write(out_, script_.says);
    const std::string chunk(64u << 10, 'x');
    while (running_ && flooded < script_.floods) {
      if (!co_await write(out_, chunk)) co_return;
      flooded += chunk.size();
    }
    memory_kills += std::exchange(script_.loses_children, 0);
    if (script_.overfills && running_) {
      auto stop = *script_.overfills;
      stop.settled = false;
      notify(stop);
      exit({agent_pid, -1, SIGKILL});
      stop.settled = true;
      notify(stop);
    }
    if (script_.leaves_at_once && running_) {
      if (script_.exit_signal != 0) ++memory_kills;
      exit({agent_pid, script_.exit_signal != 0 ? -1 : script_.exit_code, script_.exit_signal});
    }
  }
  base::Task<void> agent() {
    std::string rest;
    char buffer[4096];
    while (running_) {
      boost::system::error_code error;
      const auto n =
          co_await in_.async_read_some(asio::buffer(buffer), asio::redirect_error(base::use_task, error));
      if (error) break;
      rest.append(buffer, n);
      for (auto end = rest.find('\n'); end != std::string::npos; end = rest.find('\n')) {
        const std::string line = rest.substr(0, end);
        rest.erase(0, end + 1);
        heard.push_back(line);
        if (line == "start") scope_.spawn(begin());
        if (line == "interrupt" && script_.obeys_interrupt) co_await write(out_, "interrupted\n");
      }
    }
    if (running_) exit({agent_pid, script_.exit_code, 0});
  }

  AgentScript script_;
  base::Fd events_;
  std::deque<sandbox::Notice> notices_;
  int listener_ = -1;
  bool running_ = false;
  Stream in_;
  Stream out_;
  Stream err_;
  base::TaskScope scope_;
};

}  // namespace agentrouter::keeper
