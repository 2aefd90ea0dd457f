// Keys of model providers, and what seals them.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <iterator>

#include "base/fd.h"
#include "base/file.h"
#include "base/hmac.h"
#include "base/id.h"
#include "base/secret_buffer.h"
#include "base/utf8.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/text.h"

namespace agentrouter::cli {
namespace {

constexpr std::size_t longest_key = 64 * 1024;

std::string word(const Json& json, std::string_view key) {
  return one_line(json[key].as_string());
}

std::string provider_path(const Command& command) {
  if (command.provider.empty())
    throw UsageError{"name the provider: agentrouter provider-keys " + command.verb + " openai"};
  return "/v1/provider-keys/" + command.provider;
}

// Without blanks and line ends around it.
std::string read_key(const Command& command, std::istream& in) {
  std::string text;
  if (command.key_file.empty()) {
    for (char c = 0; text.size() <= longest_key && in.get(c);) text += c;
  } else {
    auto read = base::read_file(command.key_file, longest_key);
    if (!read) throw UsageError{read.error().message};
    text = std::move(*read);
  }
  const std::string key(base::trim_js(text));
  base::wipe(text);
  if (key.empty()) throw UsageError{"there is no key on standard input, nor a --file"};
  return key;
}

void print_provider_key(const Json& key, Output& output) {
  output.out << word(key, "provider") << "  ";
  if (const auto last = word(key, "lastCharacters"); !last.empty()) output.out << "..." << last << "  ";
  output.out << "set " << word(key, "changedAt") << " by " << word(key, "setBy");
  const auto used = word(key, "lastUsedAt");
  output.out << (used.empty() ? "; not used yet" : "; last used " + used);
  if (const auto url = word(key, "baseUrl"); !url.empty()) output.out << "; " << url;
  output.out << '\n';
}

Json set_key(const Command& command, Context& context) {
  const auto path = provider_path(command);
  Json::Object body;
  body.emplace_back("value", read_key(command, context.in));
  if (!command.url.empty()) body.emplace_back("baseUrl", command.url);
  return context.client.call("PUT", path, Json::object(std::move(body)), {.stop = context.interrupt});
}

Json ask_about_keys(const Command& command, Context& context) {
  if (command.verb == "set") return set_key(command, context);
  if (command.verb == "delete") return context.client.call("DELETE", provider_path(command), {}, {.stop = context.interrupt});
  return context.client.call("GET", "/v1/provider-keys", {}, {.stop = context.interrupt});
}

void print_status(const Json& status, Output& output) {
  const auto number = [&](std::string_view key) { return std::to_string(status[key].as_int()); };
  const auto master = word(status, "masterKey");
  output.out << "Master key: " << (status["hasMasterKey"].as_bool() ? (master.empty() ? "configured" : master) : "none yet")
             << ", " << number("oldMasterKeys") << " older accepted\n"
             << "Data keys: " << number("dataKeys") << ", " << number("dataKeysOfOldMasterKeys")
             << " of older master keys, " << number("retiringDataKeys") << " being replaced\n"
             << "Values: " << number("sealedValues") << " sealed, " << number("clearValues") << " in clear\n";
  if (status["rotationOpen"].as_bool()) output.err << "Not done yet: agentrouter vault rotate\n";
  if (const auto problem = word(status, "problem"); !problem.empty()) output.err << "Locked: " << problem << '\n';
}

Json rotation_order(const Command& command, bool first) {
  Json::Object body;
  if (first && command.new_master_key) body.emplace_back("masterKey", true);
  if (first && command.new_data_keys) body.emplace_back("dataKeys", true);
  if (first && command.abandon_lost) body.emplace_back("abandonLost", true);
  return Json::object(std::move(body));
}

// Each request does a part of it.
int rotate(const Command& command, Context& context) {
  auto& output = context.output;
  std::int64_t wrapped = 0, sealed = 0, retired = 0, abandoned = 0;
  Json step;
  for (bool first = true; first || (!step["done"].as_bool() && step["progress"].as_bool()); first = false) {
    step = context.client.call("POST", "/v1/vault/rotate", rotation_order(command, first),
                               {.stop = context.interrupt, .timeout = std::chrono::minutes(5)});
    wrapped += step["wrappedDataKeys"].as_int();
    sealed += step["sealedValues"].as_int();
    retired += step["retiredDataKeys"].as_int();
    abandoned += step["abandonedDataKeys"].as_int();
    if (command.json) output.out << step.dump() << '\n';
  }
  if (!command.json)
    output.out << "Wrapped " << wrapped << " data keys, sealed " << sealed << " values, retired " << retired
               << " data keys" << (abandoned > 0 ? ", gave up " + std::to_string(abandoned) : std::string()) << "\n";
  if (step["done"].as_bool()) return exit_code::completed;
  output.err << "Not done: " << step["left"].as_int() << " are left. " << word(step, "problem") << '\n';
  return exit_code::failed;
}

}  // namespace

int provider_keys(const Command& command, Context& context) {
  const auto reply = ask_about_keys(command, context);
  auto& output = context.output;
  if (command.json) {
    output.out << reply.dump() << '\n';
  } else if (reply["items"].is_array()) {
    for (const auto& key : reply["items"].as_array()) print_provider_key(key, output);
    if (reply["items"].as_array().empty()) output.err << "The workspace has no key of its own.\n";
  } else if (reply["deleted"].as_bool()) {
    output.out << "Deleted the key for " << word(reply, "provider") << ". Runs that have begun go on with it.\n";
  } else {
    print_provider_key(reply, output);
  }
  return exit_code::completed;
}

int vault(const Command& command, Context& context) {
  if (command.verb == "rotate") return rotate(command, context);
  const auto status = context.client.call("GET", "/v1/vault", {}, {.stop = context.interrupt});
  if (command.json) {
    context.output.out << status.dump() << '\n';
  } else {
    print_status(status, context.output);
  }
  return status["problem"].is_string() ? exit_code::failed : exit_code::completed;
}

int generate_master_key(const Command& command, std::ostream& out, std::ostream& err) {
  base::SecretBuffer raw(32, base::SecretBuffer::Lock::where_possible);
  base::system_entropy().fill({raw.extend(32), 32});
  auto text = base::to_base64(raw.view()) + "\n";
  if (command.output.empty() || command.output == "-") {
    out << text << std::flush;
  } else {
    const base::Fd file(::open(command.output.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file) throw UsageError{base::fail_errno("cannot make " + command.output, errno).value().message};
    base::value_or_throw(base::write_all(file.get(), text));
    if (::fsync(file.get()) != 0) base::throw_errno("cannot write " + command.output, errno);
    err << "Keep a copy of it elsewhere: it is in no backup, and nothing sealed can be opened without it.\n";
  }
  base::wipe(text);
  return exit_code::completed;
}

}  // namespace agentrouter::cli
