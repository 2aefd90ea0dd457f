#include <agentrouter/client.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "codec.hpp"
#include "stream_state.hpp"
#include "transport.hpp"

namespace agentrouter {

using detail::HttpRequest;
using detail::percent_encoded;
using detail::Repeat;

struct Client::State {
  std::shared_ptr<detail::Transport> transport;

  // Replies that are not JSON come from something else than the server: a proxy, a wrong URL.
  [[nodiscard]] Json json(const HttpRequest& request, const CallOptions& call,
                          Repeat repeat = Repeat::safe) const {
    const auto body = transport->call(request, call, repeat);
    try {
      return Json::parse(body);
    } catch (const Error& error) {
      throw Error("protocol_error", "the server's reply is not JSON: " + error.message());
    }
  }
};

namespace {

constexpr std::size_t max_in_memory = 1u << 30;

// A missing id would turn one route into another.
std::string segment(std::string_view id, std::string_view what) {
  if (id.empty()) throw Error("invalid_argument", "the " + std::string(what) + " is empty");
  return percent_encoded(id);
}

std::string run_path(std::string_view run_id, std::string_view rest = {}) {
  return "/v1/runs/" + segment(run_id, "run id") + std::string(rest);
}

std::string artifact_path(std::string_view run_id, std::string_view artifact_id) {
  return run_path(run_id, "/artifacts/" + segment(artifact_id, "artifact id") + "/download");
}

void add_query(std::string& target, std::string_view name, const std::string& value) {
  if (value.empty()) return;
  target += target.find('?') == std::string::npos ? '?' : '&';
  target.append(name).append("=").append(percent_encoded(value));
}

std::string number(std::int64_t value) {
  return value > 0 ? std::to_string(value) : std::string();
}

HttpRequest post(std::string target, std::string body = "{}") {
  return {.method = "POST", .target = std::move(target), .body = std::move(body)};
}

HttpRequest decision(const ActionDecisionRequest& request, std::string_view verb) {
  return post(
      run_path(request.run_id, "/actions/" + segment(request.action_id, "action id") + std::string(verb)),
      detail::encode_decision(request).dump());
}

}  // namespace

Client::Client(ClientOptions options)
    : state_(std::make_shared<State>(State{std::make_shared<detail::Transport>(std::move(options))})) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

bool Client::healthy(const CallOptions& call) const {
  try {
    return state_->json({.target = "/healthz"}, call, Repeat::never)["ok"].as_bool();
  } catch (const Error& error) {
    if (error.code() == "cancelled") throw;
    return false;
  }
}

Run Client::create_run(const CreateRunRequest& request, const CallOptions& call) const {
  auto http = post("/v1/runs", detail::encode_create(request).dump());
  const auto repeat = request.idempotency_key.empty() ? Repeat::never : Repeat::safe;
  if (repeat == Repeat::safe) http.headers.push_back("idempotency-key: " + request.idempotency_key);
  return detail::decode_run(state_->json(http, call, repeat));
}

RunPage Client::list_runs(const ListRunsRequest& request, const CallOptions& call) const {
  std::string target = "/v1/runs";
  add_query(target, "status", request.status);
  add_query(target, "limit", number(request.limit));
  add_query(target, "cursor", request.cursor);
  return detail::decode_runs(state_->json({.target = target}, call));
}

Run Client::get_run(std::string_view run_id, const CallOptions& call) const {
  return detail::decode_run(state_->json({.target = run_path(run_id)}, call));
}

RunSession Client::get_run_session(std::string_view run_id, const CallOptions& call) const {
  return detail::decode_session(state_->json({.target = run_path(run_id, "/session")}, call));
}

EventPage Client::list_run_events(std::string_view run_id, const ListEventsRequest& request,
                                  const CallOptions& call) const {
  auto target = run_path(run_id, "/events");
  add_query(target, "afterSeq", number(request.after_seq));
  add_query(target, "limit", number(request.limit));
  return detail::decode_events(state_->json({.target = target}, call));
}

EventStream Client::stream_run(std::string_view run_id, StreamOptions options) const {
  return EventStream(std::make_unique<EventStream::State>(state_->transport, run_path(run_id, "/stream"),
                                                          std::move(options)));
}

Run Client::cancel_run(std::string_view run_id, const CallOptions& call) const {
  return detail::decode_run(state_->json(post(run_path(run_id, "/cancel")), call));
}

RunEvent Client::approve_run_action(const ActionDecisionRequest& request, const CallOptions& call) const {
  return detail::decode_event(state_->json(decision(request, "/approve"), call));
}

RunEvent Client::deny_run_action(const ActionDecisionRequest& request, const CallOptions& call) const {
  return detail::decode_event(state_->json(decision(request, "/deny"), call));
}

ArtifactPage Client::list_run_artifacts(std::string_view run_id, const CallOptions& call) const {
  return detail::decode_artifacts(state_->json({.target = run_path(run_id, "/artifacts")}, call));
}

void Client::download_artifact(std::string_view run_id, std::string_view artifact_id, const Sink& sink,
                               const CallOptions& call) const {
  state_->transport->fetch({.target = artifact_path(run_id, artifact_id)}, call, sink);
}

std::string Client::download_artifact(std::string_view run_id, std::string_view artifact_id,
                                      const CallOptions& call) const {
  std::string all;
  download_artifact(
      run_id, artifact_id,
      [&all](std::string_view bytes) {
        if (all.size() + bytes.size() > max_in_memory) {
          throw Error("response_too_large", "the artifact is over 1 GiB: download it to a file");
        }
        all += bytes;
      },
      call);
  return all;
}

void Client::download_artifact(std::string_view run_id, std::string_view artifact_id,
                               const std::filesystem::path& file, const CallOptions& call) const {
  auto partial = file;
  partial += ".part";
  const auto fail = [&](int number) {
    throw Error("write_failed", "cannot write " + file.string() + ": " + std::strerror(number));
  };
  std::ofstream out(partial, std::ios::binary | std::ios::trunc);
  if (!out) fail(errno);
  try {
    const auto write = [&](std::string_view bytes) {
      if (!out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()))) fail(errno);
    };
    download_artifact(run_id, artifact_id, write, call);
    out.close();
    if (!out) fail(errno);
    std::error_code error;
    std::filesystem::rename(partial, file, error);
    if (error) fail(error.value());
  } catch (const std::exception&) {
    std::error_code ignored;
    std::filesystem::remove(partial, ignored);
    throw;
  }
}

}  // namespace agentrouter
