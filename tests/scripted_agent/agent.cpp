#include "scripted_agent/agent.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/hash.h"

namespace agentrouter::scripted_agent {

namespace {

constexpr int invalid_request = -32600;
constexpr int unknown_method = -32601;

// Unlike any other of this machine, and not the same twice.
std::string fresh_id() {
  static std::int64_t count = 0;
  const auto seed =
      std::to_string(now_ms()) + "/" + std::to_string(::getpid()) + "/" + std::to_string(count++);
  auto digest = base::Sha256::hex_of(seed);
  digest[12] = '7';
  digest[16] = '8';
  for (const std::size_t dash : {8, 13, 18, 23}) digest.insert(dash, 1, '-');
  return digest.substr(0, 36);
}

std::string text_of(const json::object& object, std::string_view key) {
  return std::string(base::get_string(object, key).value_or(""));
}

}  // namespace

void Agent::serve() {
  for (;;) {
    const auto message = wire_.next(Wire::for_ever);
    const auto method = message ? base::get_string(*message, "method") : std::nullopt;
    const auto* id = message ? message->if_contains("id") : nullptr;
    if (!method || !id) continue;
    const auto* params = base::get_object(*message, "params");
    request(*method, *id, params ? *params : json::object());
  }
}

void Agent::request(std::string_view method, const json::value& id, const json::object& params) {
  if (method == "initialize") return initialize(id, params);
  if (!initialized_) return wire_.refuse(id, invalid_request, "Not initialized");
  if (method == "thread/start") return start_thread(id, params);
  if (method == "thread/resume") return resume_thread(id, params);
  if (method == "turn/start") return start_turn(id, params);
  if (method == "turn/interrupt") return wire_.refuse(id, invalid_request, "no turn is running");
  wire_.refuse(id, unknown_method, "unknown method: " + std::string(method));
}

void Agent::initialize(const json::value& id, const json::object& params) {
  if (initialized_) return wire_.refuse(id, invalid_request, "Already initialized");
  initialized_ = true;
  const auto* client = base::get_object(params, "clientInfo");
  const auto name = client ? text_of(*client, "name") : std::string("client");
  wire_.answer(id, {{"userAgent", name + "/0.169.0 (scripted agent)"},
                    {"codexHome", home_},
                    {"platformFamily", "unix"},
                    {"platformOs", "linux"}});
}

std::string Agent::session_file(std::string_view thread) const {
  return home_ + "/sessions/scripted-" + std::string(thread) + ".txt";
}

void Agent::start_thread(const json::value& id, const json::object& params) {
  open(id, Thread{.id = fresh_id()}, params);
}

void Agent::resume_thread(const json::value& id, const json::object& params) {
  const auto thread = text_of(params, "threadId");
  std::ifstream file(session_file(thread), std::ios::binary);
  if (thread.empty() || thread.find('/') != std::string::npos || !file) {
    return wire_.refuse(id, invalid_request, "no rollout found for thread id " + thread);
  }
  Thread known{.id = thread};
  file >> known.input_tokens >> known.output_tokens;
  known.earlier.assign(std::istreambuf_iterator<char>(file), {});
  open(id, std::move(known), params);
}

void Agent::open(const json::value& id, Thread thread, const json::object& params) {
  thread.directory = text_of(params, "cwd");
  if (thread.directory.empty()) thread.directory = std::filesystem::current_path().string();
  thread.model = text_of(params, "model");
  const auto policy = text_of(params, "approvalPolicy");
  thread.asks = policy == "untrusted";
  json::object shown{
      {"id", thread.id}, {"sessionId", thread.id}, {"cwd", thread.directory}, {"cliVersion", "0.169.0"}};
  shown["path"] = session_file(thread.id);
  shown["status"] = {{"type", "idle"}};
  shown["turns"] = json::array();
  json::object result{{"thread", shown}, {"model", thread.model}, {"cwd", thread.directory}};
  result["approvalPolicy"] = policy;
  result["approvalsReviewer"] = "user";
  result["sandbox"] = {{"type", "readOnly"}, {"networkAccess", false}};
  wire_.answer(id, std::move(result));
  wire_.notify("thread/started", {{"thread", std::move(shown)}});
  threads_[thread.id] = std::move(thread);
}

void Agent::start_turn(const json::value& id, const json::object& params) {
  const auto found = threads_.find(text_of(params, "threadId"));
  if (found == threads_.end()) return wire_.refuse(id, invalid_request, "thread not found");
  std::string prompt;
  const auto* input = base::get_array(params, "input");
  for (const auto& part : input ? *input : json::array()) {
    const auto* object = part.if_object();
    if (!object) continue;
    if (!prompt.empty()) prompt += '\n';
    prompt += text_of(*object, "text");
  }
  auto& thread = found->second;
  if (const auto policy = text_of(params, "approvalPolicy"); !policy.empty())
    thread.asks = policy == "untrusted";
  Thread begun = thread;
  begun.earlier += prompt + "\n";
  save(begun);  // a turn that ends the process is one of the thread too
  Turn turn(wire_, thread, fresh_id(), std::move(prompt));
  wire_.answer(id, {{"turn", turn.describe("inProgress")}});
  turn.run();
  save(thread);
}

void Agent::save(const Thread& thread) const {
  std::error_code error;
  std::filesystem::create_directories(home_ + "/sessions", error);
  std::ofstream(session_file(thread.id), std::ios::binary | std::ios::trunc)
      << thread.input_tokens << ' ' << thread.output_tokens << '\n'
      << thread.earlier;
}

}  // namespace agentrouter::scripted_agent
