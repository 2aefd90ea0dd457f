#include "keeper/plan.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/json.h"

namespace agentrouter::keeper {
namespace {

constexpr std::size_t plan_bytes = 4u << 20;
constexpr std::size_t mcp_headers_at_most = 256;  // each takes a page of locked memory

json::array strings(const std::vector<std::string>& values) {
  json::array array;
  for (const auto& value : values) array.emplace_back(value);
  return array;
}

json::object program_json(const agents::AgentProgram& program) {
  json::array files;
  for (const auto& file : program.files) {
    files.push_back(json::object{{"path", file.path}, {"content", file.content}});
  }
  return {{"argv", strings(program.argv)},
          {"env", strings(program.env)},
          {"files", std::move(files)},
          {"caches", strings(program.caches)},
          {"commandName", program.command_name},
          {"argvForAction", strings(program.argv_for_action)},
          {"resumeArgv", strings(program.resume_argv)}};
}

json::array mcp_json(const std::vector<McpPlan>& servers) {
  json::array all;
  for (const auto& server : servers) {
    json::array headers;
    for (const auto& header : server.headers)
      headers.push_back(
          json::object{{"name", header.name}, {"bytes", std::max(header.value.size(), header.bytes)}});
    all.push_back(json::object{{"name", server.name}, {"url", server.url}, {"headers", std::move(headers)}});
  }
  return all;
}

// Reads fields of one object; the first that is missing makes the whole reading fail.
class Fields {
 public:
  explicit Fields(const json::object& object) : object_(object) {}

  std::string text(std::string_view key) {
    const auto value = base::get_string(object_, key);
    if (!value) miss(key);
    return std::string(value.value_or(""));
  }
  bool flag(std::string_view key) {
    const auto value = base::get_bool(object_, key);
    if (!value) miss(key);
    return value.value_or(false);
  }
  std::int64_t number(std::string_view key) {
    const auto value = base::get_int(object_, key);
    if (!value || *value < 0) miss(key);
    return value.value_or(0);
  }
  std::chrono::milliseconds duration(std::string_view key) { return std::chrono::milliseconds(number(key)); }
  std::vector<std::string> texts(std::string_view key) {
    std::vector<std::string> all;
    const json::array* array = base::get_array(object_, key);
    if (array == nullptr) miss(key);
    for (const auto& value : array != nullptr ? *array : json::array{}) {
      if (!value.is_string())
        miss(key);
      else
        all.emplace_back(value.get_string());
    }
    return all;
  }
  const json::object& object(std::string_view key) {
    static const json::object empty;
    const json::object* found = base::get_object(object_, key);
    if (found == nullptr) miss(key);
    return found != nullptr ? *found : empty;
  }
  void miss(std::string_view key) {
    if (missing_.empty()) missing_ = key;
  }
  [[nodiscard]] const std::string& missing() const { return missing_; }

 private:
  const json::object& object_;
  std::string missing_;
};

agents::AgentProgram parse_program(Fields& outer) {
  const json::object& object = outer.object("program");
  Fields fields(object);
  agents::AgentProgram program;
  program.argv = fields.texts("argv");
  program.env = fields.texts("env");
  program.caches = fields.texts("caches");
  program.command_name = fields.text("commandName");
  program.argv_for_action = fields.texts("argvForAction");
  program.resume_argv = fields.texts("resumeArgv");
  if (const json::array* files = base::get_array(object, "files")) {
    for (const auto& value : *files) {
      const json::object* file = value.if_object();
      if (file == nullptr) continue;
      Fields one(*file);
      program.files.push_back({one.text("path"), one.text("content")});
      if (!one.missing().empty()) fields.miss("files");
    }
  }
  if (program.argv.empty()) fields.miss("argv");
  if (!fields.missing().empty()) outer.miss("program." + fields.missing());
  return program;
}

std::vector<McpPlan> parse_mcp(Fields& outer, const json::object& plan) {
  std::vector<McpPlan> servers;
  std::size_t count = 0;
  const json::array* array = base::get_array(plan, "mcp");
  if (array == nullptr) outer.miss("mcp");
  for (const auto& value : array != nullptr ? *array : json::array{}) {
    const json::object* object = value.if_object();
    const json::array* headers = object != nullptr ? base::get_array(*object, "headers") : nullptr;
    if (headers == nullptr) {
      outer.miss("mcp");
      continue;
    }
    Fields fields(*object);
    auto& server = servers.emplace_back(McpPlan{fields.text("name"), fields.text("url"), {}});
    for (const auto& one : *headers) {
      static const json::object empty;
      Fields header(one.is_object() ? one.get_object() : empty);
      server.headers.push_back({header.text("name"), {}, static_cast<std::size_t>(header.number("bytes"))});
      if (!header.missing().empty() || ++count > mcp_headers_at_most) outer.miss("mcp.headers");
    }
    if (!fields.missing().empty()) outer.miss("mcp." + fields.missing());
  }
  return servers;
}

TurnLimits parse_limits(Fields& outer) {
  Fields fields(outer.object("limits"));
  TurnLimits limits;
  limits.wall_time = fields.duration("wallMs");
  limits.quiet = fields.duration("quietMs");
  limits.cancel_grace = fields.duration("cancelGraceMs");
  limits.output_bytes = static_cast<std::uint64_t>(fields.number("outputBytes"));
  limits.output_rate = static_cast<std::uint64_t>(fields.number("outputRate"));
  limits.review = fields.duration("reviewMs");
  if (!fields.missing().empty()) outer.miss("limits." + fields.missing());
  return limits;
}

policy::QuotaRules parse_quota(Fields& outer) {
  Fields fields(outer.object("quota"));
  policy::QuotaRules quota;
  quota.first = fields.duration("firstMs");
  quota.longest = fields.duration("longestMs");
  quota.most = fields.duration("mostMs");
  if (!fields.missing().empty()) outer.miss("quota." + fields.missing());
  return quota;
}

base::Result<std::string> read_exactly(int fd, std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t got = 0; got < size;) {
    const ssize_t n = ::read(fd, bytes.data() + got, size - got);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return base::fail_errno("cannot read the plan", errno);
    if (n == 0) return base::fail(base::Code::invalid, "cannot read the plan: it is cut");
    got += static_cast<std::size_t>(n);
  }
  return bytes;
}

}  // namespace

std::string_view to_string(Provider provider) {
  switch (provider) {
    case Provider::sim:
      return "sim";
    case Provider::upstream:
      return "upstream";
    case Provider::replay:
      break;
  }
  return "replay";
}

std::string encode_plan(const AttemptPlan& plan) {
  const json::object limits{{"wallMs", plan.limits.wall_time.count()},
                            {"quietMs", plan.limits.quiet.count()},
                            {"cancelGraceMs", plan.limits.cancel_grace.count()},
                            {"outputBytes", plan.limits.output_bytes},
                            {"outputRate", plan.limits.output_rate},
                            {"reviewMs", plan.limits.review.count()}};
  const json::object quota{{"firstMs", plan.quota.first.count()},
                           {"longestMs", plan.quota.longest.count()},
                           {"mostMs", plan.quota.most.count()}};
  json::object tags;
  for (const auto& [name, value] : plan.tags) tags[name] = value;
  return base::to_text(json::object{{"attemptId", plan.attempt_id.str()},
                                    {"runId", plan.run_id.str()},
                                    {"token", plan.token},
                                    {"runtime", plan.runtime.to_json()},
                                    {"model", plan.model},
                                    {"task", plan.task},
                                    {"restores", plan.restores},
                                    {"kept", plan.kept},
                                    {"filesOnly", plan.files_only},
                                    {"resumeThread", plan.resume_thread},
                                    {"approvalMode", model::to_string(plan.approval_mode)},
                                    {"approvalScope", model::to_string(plan.approval_scope)},
                                    {"rules", plan.rules ? plan.rules->document() : json::object()},
                                    {"tags", tags},
                                    {"provider", to_string(plan.provider)},
                                    {"baseUrl", plan.base_url},
                                    {"program", program_json(plan.program)},
                                    {"mcp", mcp_json(plan.mcp)},
                                    {"waitForQuota", plan.wait_for_quota},
                                    {"quota", quota},
                                    {"limits", limits},
                                    {"isolation", model::to_string(plan.isolation)},
                                    {"spending", plan.spending.to_json()},
                                    {"cassette", plan.cassette},
                                    {"hidden", plan.hidden},
                                    {"egress", plan.egress.to_json()},
                                    {"image", plan.image},
                                    {"imageDigest", plan.image_digest}});
}

base::Result<AttemptPlan> decode_plan(std::string_view text) {
  AGENTROUTER_TRY(const json::value value, base::parse_json(text, {.max_bytes = plan_bytes}));
  if (!value.is_object()) return base::fail(base::Code::invalid, "cannot read the plan: not an object");
  Fields fields(value.get_object());
  AttemptPlan plan;
  plan.attempt_id = model::AttemptId(fields.text("attemptId"));
  plan.run_id = model::RunId(fields.text("runId"));
  plan.token = fields.number("token");
  plan.runtime = model::Runtime::from_json(fields.object("runtime"));
  plan.model = fields.text("model");
  plan.task = fields.text("task");
  plan.restores = fields.flag("restores");
  plan.kept = fields.flag("kept");
  plan.files_only = fields.flag("filesOnly");
  plan.resume_thread = fields.text("resumeThread");
  if (const auto mode = model::parse_approval_mode(fields.text("approvalMode")))
    plan.approval_mode = *mode;
  else
    fields.miss("approvalMode");
  if (const auto scope = model::parse_approval_scope(fields.text("approvalScope")))
    plan.approval_scope = *scope;
  else
    fields.miss("approvalScope");
  for (const auto& tag : fields.object("tags"))
    plan.tags.emplace_back(tag.key(), base::get_string(fields.object("tags"), tag.key()).value_or(""));
  if (const auto& document = fields.object("rules"); !document.empty()) {
    AGENTROUTER_TRY(plan.rules, policy::Rules::parse(document));
  }
  const std::string provider = fields.text("provider");
  const auto known = {Provider::sim, Provider::upstream, Provider::replay};
  const auto* found = std::ranges::find(known, std::string_view(provider), [](Provider one) { return to_string(one); });
  if (found == known.end()) fields.miss("provider");
  if (found != known.end()) plan.provider = *found;
  plan.base_url = fields.text("baseUrl");
  plan.program = parse_program(fields);
  plan.mcp = parse_mcp(fields, value.get_object());
  plan.wait_for_quota = fields.flag("waitForQuota");
  plan.quota = parse_quota(fields);
  plan.limits = parse_limits(fields);
  if (const auto isolation = model::parse_isolation(fields.text("isolation")))
    plan.isolation = *isolation;
  else
    fields.miss("isolation");
  AGENTROUTER_TRY(plan.spending, SpendingPlan::from_json(fields.object("spending")));
  plan.cassette = fields.text("cassette");
  plan.hidden = fields.text("hidden");
  AGENTROUTER_TRY(plan.egress, EgressPlan::from_json(fields.object("egress")));
  plan.image = fields.text("image");
  plan.image_digest = fields.text("imageDigest");
  if (!base::is_prefixed_uuid(plan.attempt_id.str(), "attempt_")) fields.miss("attemptId");
  if (!base::is_prefixed_uuid(plan.run_id.str(), "run_")) fields.miss("runId");
  if (!fields.missing().empty()) {
    return base::fail(base::Code::invalid, "cannot read the plan: no valid " + fields.missing());
  }
  return plan;
}

std::string frame_plan(const AttemptPlan& plan) {
  const std::string text = encode_plan(plan);
  std::string length(8, '0');
  std::size_t rest = text.size();
  for (int i = 7; i >= 0; --i, rest >>= 4)
    length[static_cast<std::size_t>(i)] = "0123456789abcdef"[rest & 15];
  std::string frame = length + "\n" + text;
  for (const auto& server : plan.mcp) {
    for (const auto& header : server.headers) frame += header.value;
  }
  return frame + plan.egress.values();
}

base::Result<ReceivedPlan> receive_plan(int fd) {
  AGENTROUTER_TRY(const std::string head, read_exactly(fd, 9));
  std::size_t size = 0;
  const auto parsed = std::from_chars(head.data(), head.data() + 8, size, 16);
  if (parsed.ec != std::errc() || parsed.ptr != head.data() + 8 || head[8] != '\n' || size > plan_bytes) {
    return base::fail(base::Code::invalid, "cannot read the plan: no length");
  }
  AGENTROUTER_TRY(const std::string text, read_exactly(fd, size));
  AGENTROUTER_TRY(AttemptPlan plan, decode_plan(text));
  std::vector<egress::Secret> mcp_secrets;
  for (const auto& server : plan.mcp) {
    for (const auto& header : server.headers) {
      AGENTROUTER_TRY(egress::Secret value, egress::Secret::read_field(fd, header.bytes));
      mcp_secrets.push_back(std::move(value));
    }
  }
  AGENTROUTER_TRY(EgressSecrets egress, EgressSecrets::read_from(fd, plan.egress));
  if (plan.provider != Provider::upstream)
    return ReceivedPlan{std::move(plan), std::move(mcp_secrets), std::move(egress), std::nullopt};
  AGENTROUTER_TRY(egress::Secret key, egress::Secret::read_from(fd));
  return ReceivedPlan{std::move(plan), std::move(mcp_secrets), std::move(egress), std::move(key)};
}

}  // namespace agentrouter::keeper
