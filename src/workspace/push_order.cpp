#include "workspace/push_order.h"

#include <algorithm>

#include "base/json.h"
#include "workspace/file_request.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

namespace {

std::string part_of(const json::object& object, std::string_view key) {
  return std::string(base::get_string(object, key).value_or(""));
}

bool is_plain_part(std::string_view part) {
  return !part.empty() && part.front() != '.' && part.back() != '.' && !part.ends_with(".lock") &&
         part.find("..") == std::string_view::npos;
}

}  // namespace

std::string to_json(const PushOrder& order) {
  const auto& request = order.request;
  return base::to_text(json::object{{"url", request.url},
                                    {"user", request.user},
                                    {"secret", request.secret},
                                    {"branch", request.branch},
                                    {"base", request.base},
                                    {"subdir", request.subdir},
                                    {"message", request.message},
                                    {"authorName", request.author.name},
                                    {"authorEmail", request.author.email},
                                    {"time", request.time},
                                    {"scratch", order.scratch}});
}

Result<PushOrder> parse_push_order(std::string_view text) {
  const auto document = base::parse_json(text);
  const auto* object = document ? document->if_object() : nullptr;
  const auto time = object ? base::get_int(*object, "time") : std::nullopt;
  if (!time) return fail(Code::invalid, "cannot read what is to be pushed");
  PushOrder order;
  auto& request = order.request;
  request.url = part_of(*object, "url");
  request.user = part_of(*object, "user");
  request.secret = part_of(*object, "secret");
  request.branch = part_of(*object, "branch");
  request.base = part_of(*object, "base");
  request.subdir = part_of(*object, "subdir");
  request.message = part_of(*object, "message");
  request.author = {part_of(*object, "authorName"), part_of(*object, "authorEmail")};
  request.time = *time;
  order.scratch = part_of(*object, "scratch");
  if (!is_branch_name(request.branch) || request.url.empty() || order.scratch.empty())
    return fail(Code::invalid, "cannot read what is to be pushed");
  return order;
}

std::string to_json(const Pushed& pushed) {
  return base::to_text(json::object{{"commit", pushed.commit}, {"files", pushed.files}});
}

Result<Pushed> parse_pushed(std::string_view text) {
  AGENTROUTER_TRY(const auto object, parse_head(text));
  const auto files = base::get_int(object, "files");
  const auto commit = base::get_string(object, "commit");
  if (!files || *files < 0 || !commit || commit->size() != 40)
    return fail(Code::corrupt, "cannot read what was pushed");
  return Pushed{std::string(*commit), static_cast<std::uint64_t>(*files)};
}

bool is_branch_name(std::string_view name) {
  constexpr std::string_view others = "-._/";
  if (name.empty() || name.size() > 200 || name.front() == '-' || name == "HEAD") return false;
  const bool known = std::all_of(name.begin(), name.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           others.find(c) != std::string_view::npos;
  });
  if (!known) return false;
  for (;;) {
    const auto slash = name.find('/');
    if (!is_plain_part(name.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    name.remove_prefix(slash + 1);
  }
}

bool is_author_part(std::string_view text) {
  constexpr std::string_view cut_off = " .,:;\"'\\";
  return text.find_first_not_of(cut_off) != std::string_view::npos &&
         std::none_of(text.begin(), text.end(),
                      [](unsigned char c) { return c < ' ' || c == 0x7f || c == '<' || c == '>'; });
}

}  // namespace agentrouter::workspace
