#include "api/rig_test.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "base/hash.h"
#include "runs/actions.h"
#include "runs/conversations.h"
#include "runs/payloads.h"

namespace agentrouter::api {

namespace {

// The body of a chunked message.
std::string joined(std::string_view chunks) {
  std::string body;
  while (!chunks.empty()) {
    const auto size = std::stoul(std::string(chunks.substr(0, chunks.find("\r\n"))), nullptr, 16);
    chunks.remove_prefix(chunks.find("\r\n") + 2);
    body += chunks.substr(0, size);
    chunks.remove_prefix(std::min(chunks.size(), size + 2));
  }
  return body;
}

std::string hex(const std::string& bytes) {
  return base::to_hex(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

void keep_exchange(const std::string& sent, const std::string& got, bool cut) {
  static const char* const path = std::getenv("AGENTROUTER_EXCHANGES");
  if (path == nullptr) return;
  static std::ofstream file(path, std::ios::trunc);
  file << base::to_text(json::object{{"request", hex(sent)}, {"response", hex(got)}, {"cut", cut}})
       << std::endl;
}

}  // namespace

json::object Reply::object() const {
  return base::value_or_throw(base::parse_json(body)).as_object();
}

std::string Reply::error_code() const {
  return std::string(base::get_string(*base::get_object(object(), "error"), "code").value_or(""));
}

std::string Reply::header(const std::string& name) const {
  const auto at = head.find("\r\n" + name + ": ");
  if (at == std::string::npos) return "";
  const auto begin = at + name.size() + 4;
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

Wire::Wire(std::uint16_t port, bool kept)
    : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), kept_(kept) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  base::value_or_throw(::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0
                           ? base::Result<void>{}
                           : base::fail_errno("connect", errno));
  const timeval patience{20, 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

Wire::~Wire() {
  if (kept_) keep_exchange(sent_, text_, !ended_);
}

void Wire::send(const std::string& bytes) {
  sent_ += bytes;
  base::value_or_throw(base::write_all(socket_.get(), bytes));
}

const std::string& Wire::read_until(const std::string& mark) {
  char buffer[4096];
  while (text_.find(mark) == std::string::npos) {
    const auto got = ::read(socket_.get(), buffer, sizeof buffer);
    ended_ = got == 0;
    if (got <= 0) break;
    text_.append(buffer, static_cast<std::size_t>(got));
  }
  return text_;
}

namespace {

class TestUpload final : public IncomingUpload {
 public:
  explicit TestUpload(TestDesk& desk) : desk_(desk) { desk_.last.clear(); }
  base::Result<void> write(std::string_view bytes) override {
    desk_.last += bytes;
    if (bytes != "full") return {};
    return base::fail(base::Code::exhausted, "cannot write: no space", "storage_full");
  }
  base::Result<ReceivedUpload> finish() override {
    const std::string details = R"({"entry":"a"})";
    if (desk_.last == "refused")
      return base::fail(base::Code::invalid, "a device", "archive_refused", details);
    if (desk_.last == "limit") return base::fail(base::Code::invalid, "too many", "archive_limit", details);
    if (desk_.last == "unreadable")
      return base::fail(base::Code::invalid, "no archive", "archive_unreadable", "{}");
    ++desk_.held;
    return ReceivedUpload{.sha256 = std::string(64, 'a'),
                          .bytes = desk_.last.size(),
                          .tree = "tree-" + desk_.last,
                          .files = 3,
                          .hold = std::shared_ptr<void>(nullptr, [&desk = desk_](void*) { --desk.held; })};
  }

 private:
  TestDesk& desk_;
};

}  // namespace

static vault::Keyring keyring_of(const std::string& master_key) {
  std::vector<vault::Key> keys;
  if (!master_key.empty())
    keys.push_back(vault::Key::of(base::Sha256::hex_of(master_key).substr(0, vault::Key::bytes)));
  return vault::Keyring(std::move(keys));
}

base::Result<std::unique_ptr<IncomingUpload>> TestDesk::begin(const std::string&) {
  return std::make_unique<TestUpload>(*this);
}

bool TestDesk::trim(const std::vector<std::string>& used) {
  in_use = used;
  return has_room;
}

ApiRig::ApiRig(const std::string& master_key, runs::QueueRules queue, base::Pace::Rule upload_pace)
    : vault_({*store_, clock_, entropy_}, keyring_of(master_key)),
      api_({*store_, *blobs_, hub_, pool_, vault_, clock_, entropy_}, Authenticator("test-key"),
           {.admit_workspace = [](std::string_view path) -> base::Result<std::string> {
              if (path == "/allowed") return std::string(path);
              if (path == "/defect") throw std::logic_error("what only the log may say");
              return base::fail(base::Code::invalid, "not allowed", "workspace_forbidden");
            },
            .uploads = &desk_,
            .upload_pace = upload_pace,
            .admit_git = [](const model::GitSource& source) -> base::Result<model::GitSource> {
              if (source.url.starts_with("https://")) return source;
              return base::fail(base::Code::invalid, "not allowed", "workspace_forbidden");
            },
            .heartbeat = std::chrono::milliseconds(50),
            .mcp_servers = {{.name = "codex-only", .claude_code = false}},
            .queue = queue,
            .check_policy = [](std::string_view name) -> base::Result<model::Isolation> {
              if (name.empty() || name == "known") return model::Isolation::process;
              if (name == "sealed") return model::Isolation::vm;
              return base::fail(base::Code::invalid, "no such policy", "policy_unknown",
                                R"({"name":"nobody","known":["known"]})");
            },
            .check_image = [](std::string_view name) -> base::Result<void> {
              if (name == "known") return {};
              return base::fail(base::Code::invalid, "no such image", "image_unknown",
                                R"({"name":"nobody","known":["known"]})");
            },
            .files = [this](model::RunId, workspace::FileRequest request)
                -> base::Task<base::Result<std::unique_ptr<workspace::FileAnswer>>> {
              asked_files_.push_back(std::move(request));
              co_return files_();
            },
            .provider_keys = {.base_urls = {"https://eu.example.test/v1"}},
            .push = [this](model::RunId, PushBody body) -> base::Task<base::Result<PushAnswer>> {
              asked_pushes_.push_back(std::move(body));
              co_return pushes_();
            },
            .has_cassettes = true,
            .on_key_used = [this](const std::string&, base::Time) { key_used_(); }}),
      server_(io_.get_executor(), api_,
              [this](const net::ServerError& error) { return api_.error_reply(error); }) {
  std::promise<std::uint16_t> port;
  asio::post(io_, [&] { port.set_value(base::value_or_throw(server_.listen("127.0.0.1", 0))); });
  port_ = port.get_future().get();
}

ApiRig::~ApiRig() {
  on_task([this]() -> base::Task<void> {
    co_await server_.stop(std::chrono::steady_clock::now() + std::chrono::seconds(2));
  });
  work_.reset();
  thread_.join();
  store_->close();
}

std::string ApiRig::request(const std::string& method, const std::string& target, const std::string& body,
                            const std::string& headers) {
  std::string text = method + " " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers;
  if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  return text + "\r\n" + body;
}

Reply read_reply(const std::string& all) {
  const auto end = all.find("\r\n\r\n");
  Reply reply{.status = std::stoi(all.substr(9, 3)), .head = all.substr(0, end), .body = all.substr(end + 4)};
  if (reply.header("Transfer-Encoding") == "chunked") reply.body = joined(reply.body);
  return reply;
}

Reply ApiRig::raw(const std::string& text) {
  Wire wire(port_, described_);
  wire.send(text);
  return read_reply(wire.read_to_end());
}

Reply ApiRig::get(const std::string& target, const std::string& more) {
  return raw(request("GET", target, "", key() + more));
}

Reply ApiRig::post(const std::string& target, const std::string& body, const std::string& more) {
  return raw(request("POST", target, body, key() + "Content-Type: application/json\r\n" + more));
}

std::string ApiRig::created(const std::string& body) {
  return std::string(base::get_string(post("/v1/runs", body).object(), "id").value());
}

void ApiRig::append(const std::string& run, model::EventDraft draft) {
  write([&](store::Transaction& tx) { runs::append_event(tx, model::RunId(run), std::move(draft)); });
}

void ApiRig::append_claim(const std::string& run) {
  auto draft = testing::make_draft("run.claimed", R"({"workerId":"worker_1"})");
  draft.visibility = model::Visibility::internal;
  append(run, std::move(draft));
}

void ApiRig::append_message(const std::string& run, std::string_view text) {
  auto draft = testing::make_draft("agent.message",
                                   base::to_text(json::object{{"provider", "codex"}, {"text", text}}));
  draft.source = model::EventSource::codex;
  append(run, std::move(draft));
}

void ApiRig::end_run(const std::string& id, model::RunStatus status) {
  write([&](store::Transaction& tx) {
    const auto now = clock_.now();
    tx.append(model::RunId(id), runs::terminal_event(status, std::nullopt, std::nullopt, now));
    auto run = *tx.run(model::RunId(id));
    runs::apply_end(run, status, std::nullopt, now);
    tx.update_run(run);
    runs::end_turn(tx, run, {}, now);
  });
}

std::string ApiRig::asked(const std::string& run, const std::string& digest) {
  const auto named = [&](std::string_view kind) {
    return std::string(kind) + "_" + base::uuid_from_text(run + std::string(kind));
  };
  store::Approval approval;
  approval.run_id = model::RunId(run);
  approval.action_id = model::ActionId(named("action"));
  approval.action_digest = digest;
  approval.args_digest = digest;
  approval.request_id = named("approval");
  approval.requested_event_id = named("evt");
  json::object payload{{"eventId", approval.requested_event_id},
                       {"actionId", approval.action_id.str()},
                       {"actionDigest", digest},
                       {"argsDigest", digest},
                       {"actor", "agent"},
                       {"actionName", "codex.launch"},
                       {"targetResource", "codex"}};
  append(run, testing::make_draft("action.proposed", base::to_text(payload)));
  payload["decision"] = "requires_approval";
  payload["reason"] = "manual";
  append(run, testing::make_draft("policy.evaluated", base::to_text(payload)));
  append(run, testing::make_draft("approval.requested", base::to_text(payload)));
  write([&](store::Transaction& tx) { tx.put_approval(approval); });
  return approval.action_id.str();
}

}  // namespace agentrouter::api
