#include "vault/kms_command.h"

#include <algorithm>

#include "base/hmac.h"
#include "base/json.h"
#include "vault/kms_process.h"

namespace agentrouter::vault {

namespace {

using base::Code;

constexpr std::size_t longest_wrapped = 32 * 1024;
constexpr std::size_t longest_key_id = 256;

tl::unexpected<base::Error> kms_fault(const KmsConfig& config, const std::string& why,
                                      Code code = Code::unavailable) {
  return base::fail(code, "the key service " + config.argv.front() + " cannot be used: " + why,
                    "vault_locked");
}

std::string first_line(std::string_view text) {
  std::string line(text.substr(0, text.find('\n')));
  std::ranges::replace_if(line, [](char c) { return c < ' ' || c > '~'; }, '?');
  return line;
}

json::object question(std::string_view operation, const Place& place) {
  return {{"version", 1},
          {"operation", operation},
          {"context", {{"workspace", place.workspace}, {"dataKey", place.id}}}};
}

base::Result<json::object> ask(const KmsConfig& config, json::object body) {
  std::string input = base::to_text(body) + "\n";
  auto ended = run_with_input({config.argv, config.environment, config.timeout}, input);
  base::wipe(input);
  if (!ended) {
    const bool late = ended.error().code == Code::timeout;
    return kms_fault(config, ended.error().message, late ? Code::timeout : Code::unavailable);
  }
  auto answer = base::parse_json(ended->output, {.max_depth = 8});
  base::wipe(ended->output);
  if (answer && answer->is_object()) {
    if (const auto said = base::get_string(answer->get_object(), "error"); said && !said->empty())
      return kms_fault(config, "it says \"" + first_line(said->substr(0, 200)) + "\"");
  }
  if (ended->exit_code != 0) {
    const auto said = ended->complaint.empty() ? std::string() : ": " + first_line(ended->complaint);
    return kms_fault(config, "it ended with status " + std::to_string(ended->exit_code) + said);
  }
  if (!answer || !answer->is_object()) return kms_fault(config, "its answer is no object of JSON");
  return std::move(answer->get_object());
}

base::Result<std::string> text_in(const KmsConfig& config, const json::object& answer, std::string_view name,
                                  std::size_t longest) {
  const auto text = base::get_string(answer, name);
  if (!text || text->empty() || text->size() > longest)
    return kms_fault(config, "its answer has no usable \"" + std::string(name) + "\"");
  return std::string(*text);
}

}  // namespace

base::Result<KmsWrapped> KmsCommand::wrap(const Key& key, const Place& place) const {
  auto body = question("wrap", place);
  body["data"] = base::to_base64(key.view());
  AGENTROUTER_TRY(const auto answer, ask(config_, std::move(body)));
  KmsWrapped wrapped;
  AGENTROUTER_TRY(wrapped.key_id, text_in(config_, answer, "keyId", longest_key_id));
  AGENTROUTER_TRY(wrapped.data, text_in(config_, answer, "data", longest_wrapped));
  if (!base::from_base64(wrapped.data)) return kms_fault(config_, "its \"data\" is no base64");
  return wrapped;
}

base::Result<Key> KmsCommand::unwrap(const KmsWrapped& wrapped, const Place& place) const {
  auto body = question("unwrap", place);
  body["keyId"] = wrapped.key_id;
  body["data"] = wrapped.data;
  AGENTROUTER_TRY(const auto answer, ask(config_, std::move(body)));
  AGENTROUTER_TRY(auto text, text_in(config_, answer, "data", 1024));
  auto raw = base::from_base64(text);
  base::wipe(text);
  if (!raw || raw->size() != Key::bytes) return kms_fault(config_, "what it gives back is no data key");
  auto key = Key::of(*raw);
  base::wipe(*raw);
  return key;
}

base::Result<std::string> KmsCommand::key_id() const {
  AGENTROUTER_TRY(const auto answer, ask(config_, question("key", {})));
  return text_in(config_, answer, "keyId", longest_key_id);
}

}  // namespace agentrouter::vault
