#include "keeper/fetch/fetch_plan.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/json.h"
#include "base/utf8.h"

namespace agentrouter::keeper {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t most_plan_bytes = 512 * 1024;

tl::unexpected<base::Error> bad_fetch(std::string_view what) {
  return fail(Code::invalid, "cannot read the fetcher's " + std::string(what));
}

Result<std::string> receive_exactly(int fd, std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t got = 0; got < size;) {
    const auto more = ::read(fd, bytes.data() + got, size - got);
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) return base::fail_errno("cannot read the fetcher's plan", errno);
    if (more == 0) return bad_fetch("plan: it is cut");
    got += static_cast<std::size_t>(more);
  }
  return bytes;
}

std::string text_of(const json::object& object, std::string_view key) {
  return std::string(base::get_string(object, key).value_or(""));
}

}  // namespace

bool is_commit(std::string_view text) {
  return text.size() == 40 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string encode_fetch_plan(const FetchPlan& plan) {
  model::Workspace workspace{.kind = model::WorkspaceKind::git, .git = plan.source, .commit = plan.commit};
  json::array https_hosts;
  for (const auto& host : plan.https_hosts) https_hosts.emplace_back(host);
  return base::to_text(json::object{{"workspace", workspace.to_json()},
                                    {"bytes", plan.bytes},
                                    {"entries", plan.entries},
                                    {"wallTimeMs", plan.wall_time.count()},
                                    {"hasCredential", plan.has_credential},
                                    {"knownHosts", plan.known_hosts},
                                    {"httpsHosts", std::move(https_hosts)},
                                    {"publicOnly", plan.public_only}});
}

Result<FetchPlan> decode_fetch_plan(std::string_view text) {
  AGENTROUTER_TRY(const auto document, base::parse_json(text));
  const auto* object = document.if_object();
  const auto* inner = object ? base::get_object(*object, "workspace") : nullptr;
  if (inner == nullptr) return bad_fetch("plan");
  AGENTROUTER_TRY(auto workspace, model::Workspace::from_json_text(base::to_text(*inner)));
  const auto bytes = base::get_int(*object, "bytes");
  const auto entries = base::get_int(*object, "entries");
  const auto wall_time = base::get_int(*object, "wallTimeMs");
  const auto has_credential = base::get_bool(*object, "hasCredential");
  const auto public_only = base::get_bool(*object, "publicOnly");
  const bool known = workspace.commit.empty() || is_commit(workspace.commit);
  if (!bytes || !entries || !wall_time || !has_credential || !public_only || *bytes < 0 || *entries < 0 ||
      *wall_time < 0 || workspace.git.url.empty() || !known) {
    return bad_fetch("plan");
  }
  std::vector<std::string> https_hosts;
  const auto* hosts = base::get_array(*object, "httpsHosts");
  if (hosts == nullptr) return bad_fetch("plan");
  for (const auto& host : *hosts) {
    if (!host.is_string()) return bad_fetch("plan");
    https_hosts.emplace_back(host.get_string());
  }
  return FetchPlan{.source = std::move(workspace.git),
                   .commit = std::move(workspace.commit),
                   .bytes = static_cast<std::uint64_t>(*bytes),
                   .entries = static_cast<std::uint64_t>(*entries),
                   .wall_time = std::chrono::milliseconds(*wall_time),
                   .has_credential = *has_credential,
                   .known_hosts = text_of(*object, "knownHosts"),
                   .https_hosts = std::move(https_hosts),
                   .public_only = *public_only};
}

std::string frame_fetch(const FetchPlan& plan, std::string_view credential) {
  auto text = encode_fetch_plan(plan);
  std::string head(16, '0');
  const auto put = [&](std::size_t at, std::size_t number) {
    for (std::size_t i = at + 8; i-- > at; number >>= 4) head[i] = "0123456789abcdef"[number & 15];
  };
  put(0, text.size());
  put(8, credential.size());
  return head + "\n" + text + std::string(credential);
}

Result<ReceivedFetch> receive_fetch(int fd) {
  AGENTROUTER_TRY(const auto head, receive_exactly(fd, 17));
  std::size_t sizes[2] = {};
  for (int i = 0; i < 2; ++i) {
    const char* const begin = head.data() + 8 * i;
    if (std::from_chars(begin, begin + 8, sizes[i], 16).ptr != begin + 8) return bad_fetch("plan: no length");
  }
  if (sizes[0] > most_plan_bytes || sizes[1] > egress::Secret::max_bytes) return bad_fetch("plan: too long");
  AGENTROUTER_TRY(const auto text, receive_exactly(fd, sizes[0]));
  AGENTROUTER_TRY(auto plan, decode_fetch_plan(text));
  ReceivedFetch received{std::move(plan), std::nullopt};
  if (sizes[1] != 0) {
    AGENTROUTER_TRY(auto bytes, receive_exactly(fd, sizes[1]));
    auto secret = egress::Secret::create(bytes);
    std::fill(bytes.begin(), bytes.end(), '\0');
    if (!secret) return tl::unexpected(secret.error());
    received.credential.emplace(std::move(*secret));
  }
  if (received.credential.has_value() != received.plan.has_credential) return bad_fetch("credential");
  return std::move(received);
}

std::string resolved_line(const ResolvedRef& resolved) {
  return base::to_text(json::object{
             {"resolved", json::object{{"commit", resolved.commit}, {"branch", resolved.branch}}}}) +
         "\n";
}

std::string fetched_line(const std::vector<Submodule>& submodules) {
  json::array all;
  for (const auto& one : submodules)
    all.push_back(json::object{{"path", one.path}, {"url", one.url}, {"commit", one.commit}});
  return base::to_text(json::object{{"fetched", json::object{{"submodules", std::move(all)}}}}) + "\n";
}

std::string failed_line(const FetchFailure& failure) {
  return base::to_text(json::object{{"failed", json::object{{"cause", failure.cause},
                                                            {"message", base::to_utf8(failure.message)}}}}) +
         "\n";
}

Result<FetchAnswer> parse_fetch_line(std::string_view line) {
  AGENTROUTER_TRY(const auto document, base::parse_json(line));
  const auto* object = document.if_object();
  if (object == nullptr) return bad_fetch("answer");
  FetchAnswer answer;
  if (const auto* resolved = base::get_object(*object, "resolved")) {
    answer.resolved = ResolvedRef{text_of(*resolved, "commit"), text_of(*resolved, "branch")};
    if (!is_commit(answer.resolved->commit)) return bad_fetch("answer");
    return answer;
  }
  if (const auto* failed = base::get_object(*object, "failed")) {
    answer.failed = FetchFailure{text_of(*failed, "cause"), text_of(*failed, "message")};
    return answer;
  }
  const auto* fetched = base::get_object(*object, "fetched");
  const auto* submodules = fetched ? base::get_array(*fetched, "submodules") : nullptr;
  if (submodules == nullptr || submodules->size() > submodules_at_most) return bad_fetch("answer");
  answer.fetched = true;
  for (const auto& value : *submodules) {
    const auto* one = value.if_object();
    if (one == nullptr) return bad_fetch("answer");
    answer.submodules.push_back({text_of(*one, "path"), text_of(*one, "url"), text_of(*one, "commit")});
    if (!is_commit(answer.submodules.back().commit)) return bad_fetch("answer");
  }
  return answer;
}

}  // namespace agentrouter::keeper
