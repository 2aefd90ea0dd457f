#pragma once
// The HTTP API of the contract: authenticates, validates, calls a use case, answers. It holds no state of
// runs and decides nothing. Order of judgement: key (except where none is needed), route, method, scope of
// the key, workspace, path, query and headers, body, use case.
//
// A request may be long on its way: its body is read after its key was judged. So what it writes is written
// by Api::write(), which judges the caller again in the transaction that writes.
//
// Each route reads and writes the store within the workspace of its request (store::Reader::scope), so that
// what belongs to another one is not found, by the same statements that do not find what never was.

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "api/auth.h"
#include "api/key_watch.h"
#include "api/overload.h"
#include "api/push.h"
#include "api/uploads.h"
#include "base/pace.h"
#include "base/pool.h"
#include "base/shares.h"
#include "blobs/blob_store.h"
#include "model/isolation.h"
#include "net/exchange.h"
#include "net/server.h"
#include "runs/conversations.h"
#include "store/store.h"
#include "stream/hub.h"
#include "tenancy/entry.h"
#include "vault/provider_keys.h"
#include "webhooks/endpoints.h"
#include "webhooks/guard.h"
#include "workspace/file_answer.h"

namespace agentrouter::api {

// Everything that is passed by reference outlives the Api.
struct ApiNeeds {
  store::Store& store;
  blobs::BlobStore& blobs;
  stream::Hub& hub;
  base::Pool& pool;  // for file system calls
  vault::Vault& vault;
  const base::Clock& clock;
  base::Entropy& entropy;
};

// An MCP server that a request may ask for.
struct McpOffer {
  std::string name;
  bool codex = true;
  bool claude_code = true;
};

struct ApiOptions {
  // The real path of a workspace that a request may use. Errors: invalid. Called on the pool.
  std::function<base::Result<std::string>(std::string_view path)> admit_workspace;
  UploadDesk* uploads = nullptr;  // none: nothing can be uploaded. Outlives the Api
  base::Pace::Rule upload_pace = {};
  // A repository as it is used. Errors: invalid. Called on the pool.
  std::function<base::Result<model::GitSource>(const model::GitSource& source)> admit_git;
  std::chrono::milliseconds heartbeat = std::chrono::seconds{10};  // of live streams
  runs::ConversationRules conversations;
  std::vector<McpOffer> mcp_servers;
  runs::SpendingRules spending = {};
  runs::QueueRules queue = {};
  OverloadRules overload = {};
  // What a run under this policy is to have at least; of the server's own policy when the name is empty.
  // Errors: invalid (policy_unknown, details {name, known}).
  std::function<base::Result<model::Isolation>(std::string_view name)> check_policy;
  // What the sandboxes that this server can make give.
  std::vector<model::Isolation> isolations = {model::Isolation::process};
  // Whether a request may name this image. Errors: invalid (image_unknown, details {name, known}).
  std::function<base::Result<void>(std::string_view name)> check_image;
  // The files of a run; may be null. Errors: with a reason that is a code, or unavailable.
  std::function<base::Task<base::Result<std::unique_ptr<workspace::FileAnswer>>>(model::RunId,
                                                                                 workspace::FileRequest)>
      files;
  webhooks::GuardRules webhook_rules;         // where messages may go
  vault::ProviderKeyRules provider_keys;      // what workspaces may bring along
  PushOffice push;                           // may be null: nothing is pushed
  bool has_cassettes = false;                // runs are recorded or played: their tag names a file
  std::function<void()> on_request = [] {};  // told of each authenticated request
  // Told at most once a minute of each stored key that is used. Returns at once.
  std::function<void(const std::string& key, base::Time at)> on_key_used = [](const auto&, base::Time) {};
  // Told of each answer whose head was sent: the first word of its route, or "other", and its status.
  std::function<void(std::string_view route, int status)> on_answer = [](std::string_view, int) {};
};

class Api final : public net::Handler {
 public:
  Api(ApiNeeds needs, Authenticator authenticator, ApiOptions options);

  base::Task<void> handle(net::Exchange& exchange) override;

  // How this API tells what fails outside of its handlers: for net::Server.
  [[nodiscard]] net::Response error_reply(const net::ServerError& error);

  // "GET /v1/runs/{run}", in the order of the table.
  [[nodiscard]] static std::vector<std::string> route_names();

  // Requests being answered right now, live streams included.
  [[nodiscard]] std::size_t in_flight() const { return in_flight_; }

 private:
  struct Call;
  struct Answered;
  using Route = base::Task<void> (Api::*)(Call&);
  struct RouteEntry;

  static const std::vector<RouteEntry>& routes();
  base::Task<void> dispatch(Call& call);
  base::Task<void> answer(Call& call, const RouteEntry& entry);
  base::Task<base::Result<void>> identify(Call& call);
  base::Task<base::Result<void>> look_up_key(Call& call, const std::string& key, const std::string& wanted);
  [[nodiscard]] base::Result<void> admit(Call& call, const RouteEntry& entry);
  base::Task<void> admit_run(Call& call);
  // Throws Failure as tenancy::check_again() fails: the answer is that to a request that comes now.
  void check_again(store::Reader& reader, const Call& call) const;
  base::Task<void> check_again(const Call& call);
  // Every write of a route: `work` within the workspace of the call, if its caller still may.
  template <class Work>
  auto write(const Call& call, Work work) -> base::Task<std::invoke_result_t<Work&, store::Transaction&>>;
  // The same for a route about keys and workspaces: `work` is told who calls as it is in this transaction.
  template <class Work>
  auto write_as(const Call& call, Work work)
      -> base::Task<std::invoke_result_t<Work&, store::Transaction&, const tenancy::Caller&>>;
  // The key that seals what the call's workspace keeps. Throws Failure, also as check_again() does.
  base::Task<vault::SealingKeyHandle> sealing_key(const Call& call);
  void note_use(const std::string& key);

  base::Task<void> health(Call& call);
  base::Task<void> ready(Call& call);
  base::Task<void> openapi(Call& call);
  base::Task<void> list_runs(Call& call);
  base::Task<void> create_run(Call& call);
  base::Task<void> get_run(Call& call);
  base::Task<void> get_session(Call& call);
  base::Task<void> list_events(Call& call);
  base::Task<void> stream_events(Call& call);
  base::Task<void> stream_batch(Call& call);
  base::Task<void> stream_live(Call& call);
  base::Task<void> cancel_run(Call& call);
  base::Task<void> delete_run(Call& call);
  base::Task<void> approve(Call& call);
  base::Task<void> deny(Call& call);
  base::Task<void> decide(Call& call, bool approved);
  base::Task<void> decide_many(Call& call);
  base::Task<void> list_approvals(Call& call);
  base::Task<void> list_rules(Call& call);
  base::Task<void> give_rule(Call& call);
  base::Task<void> withdraw_rule(Call& call);
  base::Task<void> send_message(Call& call);
  base::Task<void> fork_run(Call& call);
  base::Task<void> list_turns(Call& call);
  base::Task<void> close_conversation(Call& call);
  base::Task<void> get_record(Call& call);
  base::Task<void> get_audit(Call& call);
  base::Task<void> list_webhooks(Call& call);
  base::Task<void> create_webhook(Call& call);
  base::Task<void> get_webhook(Call& call);
  base::Task<void> change_webhook(Call& call);
  base::Task<void> delete_webhook(Call& call);
  base::Task<void> rotate_webhook_secret(Call& call);
  base::Task<void> test_webhook(Call& call);
  base::Task<void> list_deliveries(Call& call);
  base::Task<void> redeliver(Call& call);
  base::Task<void> respond_with_secret(Call& call, int status, webhooks::MadeWebhook made);
  base::Task<void> list_provider_keys(Call& call);
  base::Task<void> get_provider_key(Call& call);
  base::Task<void> put_provider_key(Call& call);
  base::Task<void> delete_provider_key(Call& call);
  base::Task<void> get_vault(Call& call);
  base::Task<void> rotate_vault(Call& call);
  base::Task<void> get_budgets(Call& call);
  base::Task<void> list_keys(Call& call);
  base::Task<void> create_key(Call& call);
  base::Task<void> get_key(Call& call);
  base::Task<void> revoke_key(Call& call);
  base::Task<void> rotate_key(Call& call);
  base::Task<void> list_workspaces(Call& call);
  base::Task<void> create_workspace(Call& call);
  base::Task<void> get_workspace(Call& call);
  base::Task<void> change_workspace(Call& call);
  base::Task<void> upload(Call& call);
  base::Task<base::Result<ReceivedUpload>> receive(Call& call, UploadDesk& desk);
  base::Task<void> make_room(UploadDesk& desk, ReceivedUpload& received);
  base::Task<void> list_artifacts(Call& call);
  base::Task<void> download(Call& call);
  using FileReply = std::unique_ptr<workspace::FileAnswer>;
  base::Task<FileReply> ask_files(Call& call, workspace::FileRequest request);
  base::Task<void> list_files(Call& call);
  base::Task<void> read_file(Call& call);
  base::Task<void> download_archive(Call& call);
  base::Task<void> read_log(Call& call);
  base::Task<void> push_run(Call& call);
  base::Task<void> list_nodes(Call& call);
  base::Task<void> drain_node(Call& call);
  base::Task<void> undrain_node(Call& call);
  base::Task<void> set_draining(Call& call, bool draining);

  [[nodiscard]] base::Result<void> check_isolation(model::Isolation demanded) const;
  [[nodiscard]] base::Result<void> check_cassette(const model::Tags& tags) const;
  [[nodiscard]] base::Result<void> check_mcp(const std::vector<std::string>& names,
                                             model::RuntimeKind kind) const;
  [[nodiscard]] runs::Context context() const { return {needs_.clock, needs_.entropy}; }

  static constexpr std::size_t uploads_at_most = 16;  // of all workspaces

  ApiNeeds needs_;
  Authenticator authenticator_;
  ApiOptions options_;
  Overload overload_;
  KeyWatch key_watch_;
  std::size_t in_flight_ = 0;
  base::Shares uploads_{uploads_at_most};             // on their way
  std::unordered_map<std::string, base::Time> used_;  // keys, and when their use was told last
  base::Pool blob_pool_{4};                           // a store of blobs elsewhere may take long
  base::Pool upload_pool_{2};  // unpacking takes long: it does not hold up anybody else's file calls
};

}  // namespace agentrouter::api
