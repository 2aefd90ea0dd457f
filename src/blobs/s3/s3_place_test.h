#pragma once
// The strict S3 server of tests/support/s3_server.py as a process of its own, steered over HTTP, and stores
// on it.

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/json.h"
#include "blobs/s3/s3_blobs.h"
#include "testing/temp_dir.h"

extern char** environ;

namespace agentrouter::blobs {

class S3Server {
 public:
  explicit S3Server(std::vector<std::string> more = {}) {
    auto in = base::value_or_throw(base::make_pipe());
    auto out = base::value_or_throw(base::make_pipe());
    std::vector<std::string> words{"/usr/bin/python3", "-B",
                                   AGENTROUTER_SOURCE_DIR "/tests/support/s3_server.py"};
    words.insert(words.end(), more.begin(), more.end());
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in.first.get(), 0);
    ::posix_spawn_file_actions_adddup2(&actions, out.second.get(), 1);
    if (::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) != 0) pid_ = -1;
    ::posix_spawn_file_actions_destroy(&actions);
    life_ = std::move(in.second);
    out.second.reset();
    for (char c = 0; ::read(out.first.get(), &c, 1) == 1 && c != '\n';) port_ += c;
  }
  ~S3Server() {
    life_.reset();
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  [[nodiscard]] const std::string& port() const { return port_; }

  json::object control(json::object order) { return ask("POST", base::to_text(order)); }
  json::object state() { return ask("GET", ""); }
  void fault(json::object fault) { control({{"faults", json::array{std::move(fault)}}}); }
  // Names of objects.
  std::vector<std::string> objects(std::string_view prefix = "") {
    std::vector<std::string> names;
    const auto now = state();
    for (const auto& [name, object] : now.at("objects").as_object()) {
      if (name.starts_with(prefix)) names.emplace_back(name);
    }
    return names;
  }
  std::size_t count(std::string_view method, std::string_view match = "") {
    std::size_t found = 0;
    const auto now = state();
    for (const auto& request : now.at("requests").as_array()) {
      const auto& facts = request.as_array();
      found += facts[0].as_string() == method && facts[1].as_string().find(match) != json::string::npos;
    }
    return found;
  }
  std::string complaints() { return base::to_text(state().at("complaints").as_array()); }

 private:
  json::object ask(std::string method, std::string body) {
    const auto answer =
        base::value_or_throw(transport_.perform({.method = std::move(method),
                                                 .url = "http://127.0.0.1:" + port_ + "/_control",
                                                 .headers = {},
                                                 .body = std::move(body),
                                                 .file = {},
                                                 .sink = {}}));
    return base::value_or_throw(base::parse_json(answer.body, {.max_bytes = 64u << 20})).as_object();
  }

  pid_t pid_ = -1;
  std::string port_;
  base::Fd life_;
  Transport transport_{{}, ""};
};

inline S3Options options_for(const S3Server& server) {
  S3Options options;
  options.place = {.scheme = "http",
                   .host = "127.0.0.1:" + server.port(),
                   .path_style = true,
                   .bucket = "artifacts",
                   .prefix = "test/",
                   .region = "us-east-1",
                   .sse = {},
                   .sse_kms_key_id = {}};
  options.part_bytes = 5 << 20;
  options.retries.first = std::chrono::milliseconds(2);
  options.retries.longest = std::chrono::milliseconds(20);
  return options;
}

inline std::unique_ptr<S3Blobs> open_on(const S3Options& options, const std::filesystem::path& folder,
                                        Credentials keys = {"AKIDTEST", "test/secret+key0123456789", ""},
                                        const base::Clock& clock = base::system_clock()) {
  return base::value_or_throw(S3Blobs::open(options, std::make_unique<CredentialSource>(std::move(keys)),
                                            folder, clock, base::system_entropy()));
}

}  // namespace agentrouter::blobs
