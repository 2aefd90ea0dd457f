#include "egress/request_facts.h"

#include <algorithm>
#include <set>

#include "base/json.h"

namespace agentrouter::egress {

namespace {

constexpr std::size_t max_facts_depth = 256;
constexpr std::size_t max_bytes = 64u << 20;

tl::unexpected<base::Error> refuse(const std::string& why) {
  return base::fail(base::Code::invalid, "a request under a limit has to be understood: " + why,
                    "request_not_understood");
}

// Two readers may take different values for a key that stands twice, or is spelled with escapes.
bool has_doubtful_keys(std::string_view text) {
  std::set<std::string_view> keys;
  std::size_t depth = 0;
  bool expects_key = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      const auto begin = ++i;
      while (i < text.size() && text[i] != '"') i += text[i] == '\\' ? 2 : 1;
      if (depth != 1 || !expects_key) continue;
      const auto key = text.substr(begin, i - begin);
      if (key.find('\\') != std::string_view::npos || !keys.insert(key).second) return true;
    } else if (c == '{' || c == '[') {
      expects_key = ++depth == 1 && c == '{';
    } else if (c == '}' || c == ']') {
      --depth;
    } else if (depth == 1 && (c == ',' || c == ':')) {
      expects_key = c == ',';
    }
  }
  return false;
}

// What is no text for the model: pictures, files, what only the provider can read.
bool is_opaque(std::string_view key) {
  constexpr std::string_view keys[] = {"data",      "image_url", "file_data", "encrypted_content",
                                       "signature", "file_id",   "url"};
  return std::ranges::find(keys, key) != std::end(keys);
}

void measure(const json::value& value, policy::RequestSize& size) {
  if (const auto* text = value.if_string()) {
    size.text_bytes += static_cast<std::int64_t>(text->size());
  } else if (const auto* list = value.if_array()) {
    for (const auto& item : *list) measure(item, size);
  } else if (const auto* object = value.if_object()) {
    const auto type = base::get_string(*object, "type").value_or("");
    if (type == "image" || type == "input_image" || type == "document" || type == "input_file") ++size.images;
    for (const auto& member : *object) {
      size.text_bytes += static_cast<std::int64_t>(member.key().size());
      if (!is_opaque(member.key()) || !member.value().is_string()) measure(member.value(), size);
    }
  }
}

bool is_given(const json::object& body, std::string_view key) {
  const auto* value = body.if_contains(key);
  return value != nullptr && !value->is_null();
}

// Why its cost cannot be told, or "".
std::string unmeasured(const json::object& body) {
  if (base::get_bool(body, "background").value_or(false)) return "it runs in the background";
  for (const auto* key : {"previous_response_id", "conversation", "prompt"}) {
    if (is_given(body, key)) return "\"" + std::string(key) + "\" adds what is not in it";
  }
  const auto tier = base::get_string(body, "service_tier").value_or("");
  if (is_given(body, "service_tier") && tier != "auto" && tier != "default" && tier != "standard_only" &&
      tier != "flex")
    return "this service_tier has other prices";
  if (is_given(body, "speed") && base::get_string(body, "speed") != "standard")
    return "this speed has other prices";
  return {};
}

}  // namespace

base::Result<RequestFacts> read_request(std::string_view path, const net::Headers& headers,
                                        std::string_view body) {
  const auto coding = headers.get("content-encoding");
  if (!coding.empty() && !net::iequals(coding, "identity")) return refuse("its body is compressed");
  const auto document = base::parse_json(body, {.max_depth = max_facts_depth, .max_bytes = max_bytes});
  if (!document) return refuse(document.error().message);
  const auto* object = document->if_object();
  if (object == nullptr) return refuse("it is no JSON object");
  if (has_doubtful_keys(body)) return refuse("a key stands twice or is escaped");
  if (auto why = unmeasured(*object); !why.empty()) return refuse(why);
  RequestFacts facts;
  facts.anthropic = path != "/v1/responses";
  facts.only_counts = path.ends_with("/count_tokens");
  facts.model = base::get_string(*object, "model").value_or("");
  if (facts.model.empty()) return refuse("it names no model");
  const auto* key = facts.anthropic ? "max_tokens" : "max_output_tokens";
  if (is_given(*object, key)) {
    facts.max_output = base::get_int(*object, key);
    if (!facts.max_output || *facts.max_output < 0)
      return refuse("its " + std::string(key) + " is no number");
  }
  facts.size.bytes = static_cast<std::int64_t>(body.size());
  measure(*document, facts.size);
  return facts;
}

policy::UsageReport report_of(const std::optional<Usage>& usage, bool anthropic) {
  policy::UsageReport report;
  if (!usage) return report;
  report.input = usage->input_tokens;
  report.cached_input = usage->cached_input_tokens;
  report.cache_write = usage->cache_write_tokens;
  report.output = usage->output_tokens;
  if (anthropic && report.input) {
    report.input = policy::add_saturated(
        *report.input,
        policy::add_saturated(report.cached_input.value_or(0), report.cache_write.value_or(0)));
  }
  return report;
}

}  // namespace agentrouter::egress
