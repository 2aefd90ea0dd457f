// Pushes what a run has changed.

#include "api/call.h"
#include "api/schema.h"
#include "workspace/push_order.h"

namespace agentrouter::api {

namespace {

constexpr std::int64_t message_chars = 10'000;
constexpr std::int64_t author_chars = 200;

std::optional<PushBody::Author> author_of(Issues& issues, const json::value& value) {
  const auto* object = object_of(issues, {"author"}, value);
  if (!object) return std::nullopt;
  PushBody::Author author;
  for (auto [key, target] : {std::pair("name", &author.name), std::pair("email", &author.email)}) {
    auto text = text_of(issues, {"author", key}, object->if_contains(key), {1, author_chars});
    if (!text) continue;
    if (!workspace::is_author_part(*text)) {
      issues.other(
          {"author", key},
          std::string("Invalid ") + key +
              ": expected text without control characters, < and >, and more than blanks and punctuation");
    }
    *target = std::move(*text);
  }
  check_keys(issues, {"author"}, *object, {"name", "email"});
  return author;
}

}  // namespace

base::Result<PushBody> parse_push_body(const json::value& body) {
  Issues issues;
  const auto* object = object_of(issues, {}, body);
  if (!object) return tl::unexpected(issues.to_error());
  PushBody result;
  if (auto branch = text_of(issues, {"branch"}, object->if_contains("branch"), {1, 200})) {
    if (!workspace::is_branch_name(*branch))
      issues.other({"branch"}, "Invalid branch: expected letters, digits and - . _ / as git takes them");
    result.branch = std::move(*branch);
  }
  result.message =
      text_of(issues, {"message"}, object->if_contains("message"), {1, message_chars}).value_or("");
  if (const auto* author = object->if_contains("author")) result.author = author_of(issues, *author);
  check_keys(issues, {}, *object, {"branch", "message", "author"});
  if (!issues.empty()) return tl::unexpected(issues.to_error());
  return result;
}

base::Task<void> Api::push_run(Call& call) {
  const auto json_body = co_await call.read_json();
  if (!json_body) throw base::Failure(json_body.error());
  auto body = base::value_or_throw(parse_push_body(*json_body));
  if (!options_.push) {
    base::throw_failure(base::Code::denied, "This server pushes nothing", "push_forbidden");
  }
  co_await check_again(call);
  co_await admit_run(call);
  const auto pushed = co_await options_.push(call.run(), std::move(body));
  if (!pushed) throw base::Failure(pushed.error());
  const json::object told{
      {"branch", pushed->branch}, {"commit", pushed->commit}, {"url", pushed->url}, {"files", pushed->files}};
  co_await call.respond_json(200, base::to_text(json::object{{"push", told}}));
}

}  // namespace agentrouter::api
