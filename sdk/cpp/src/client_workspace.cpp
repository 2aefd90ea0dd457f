#include <agentrouter/client.hpp>

#include "client_state.hpp"
#include "codec.hpp"

namespace agentrouter {

using detail::add_query;
using detail::post;
using detail::run_path;

namespace {

std::string file_path(std::string_view run_id, std::string_view path) {
  if (path.empty()) throw Error("invalid_argument", "the path is empty");
  std::string target = run_path(run_id, "/files");
  for (std::size_t at = 0; at <= path.size();) {
    const auto end = std::min(path.find('/', at), path.size());
    target += "/" + detail::percent_encoded(path.substr(at, end - at));
    at = end + 1;
  }
  return target;
}

std::string archive_path(std::string_view run_id, const DownloadWorkspaceRequest& request) {
  auto target = run_path(run_id, "/archive");
  add_query(target, "format", request.format);
  if (request.only_changes) add_query(target, "changes", "true");
  return target;
}

}  // namespace

Run Client::fork_run(const ForkRunRequest& request, const CallOptions& call) const {
  auto http = post(run_path(request.run_id, "/fork"), detail::encode_fork(request).dump());
  const auto repeat = detail::repeat_with(request.idempotency_key, http);
  return detail::decode_run(state_->json(http, call, repeat));
}

Upload Client::upload(const std::filesystem::path& archive, const CallOptions& call) const {
  return detail::decode_upload(
      state_->json({.method = "POST", .target = "/v1/uploads", .body_file = archive}, call));
}

FilePage Client::list_run_files(std::string_view run_id, const ListFilesRequest& request,
                                const CallOptions& call) const {
  auto target = run_path(run_id, "/files");
  add_query(target, "prefix", request.folder);
  if (request.recursive) add_query(target, "recursive", "true");
  add_query(target, "limit", detail::number(request.limit));
  add_query(target, "cursor", request.cursor);
  return detail::decode_files(state_->json({.target = target}, call));
}

void Client::read_run_file(std::string_view run_id, std::string_view path, const Sink& sink,
                           const CallOptions& call) const {
  state_->transport->fetch({.target = file_path(run_id, path)}, call, sink);
}

std::string Client::read_run_file(std::string_view run_id, std::string_view path,
                                  const CallOptions& call) const {
  return detail::fetch_to_memory("file", [&](const Sink& sink) { read_run_file(run_id, path, sink, call); });
}

void Client::download_workspace(std::string_view run_id, const Sink& sink,
                                const DownloadWorkspaceRequest& request, const CallOptions& call) const {
  state_->transport->fetch({.target = archive_path(run_id, request)}, call, sink);
}

void Client::read_run_log(std::string_view run_id, std::string_view log, const Sink& sink,
                          std::int64_t offset, const CallOptions& call) const {
  auto target = run_path(run_id, "/logs/" + detail::percent_encoded(log));
  if (offset != 0) add_query(target, "offset", detail::number(offset));
  state_->transport->fetch({.target = target}, call, sink);
}

std::int64_t Client::read_run_file(std::string_view run_id, std::string_view path,
                                   const std::filesystem::path& file, const CallOptions& call) const {
  return detail::fetch_to_file(file, [&](const Sink& sink) { read_run_file(run_id, path, sink, call); });
}

std::int64_t Client::download_workspace(std::string_view run_id, const std::filesystem::path& file,
                                        const DownloadWorkspaceRequest& request,
                                        const CallOptions& call) const {
  return detail::fetch_to_file(file,
                               [&](const Sink& sink) { download_workspace(run_id, sink, request, call); });
}

PushResult Client::push_run(const PushRunRequest& request, const CallOptions& call) const {
  const auto http = post(run_path(request.run_id, "/push"), detail::encode_push(request).dump());
  return detail::decode_push(state_->json(http, call, detail::Repeat::safe));
}

}  // namespace agentrouter
