// agentrouter policy check|explain|test: policies looked at without a server.

#include <unistd.h>

#include <iostream>

#include "apps/commands.h"
#include "apps/data_folder.h"
#include "apps/environment.h"
#include "apps/flags.h"
#include "apps/policy_facts.h"
#include "apps/policy_files.h"
#include "cli/text.h"

namespace agentrouter::apps {

namespace {

using base::Result;

constexpr std::string_view policy_usage =
    "Usage: agentrouter policy check [FILE|DIR] [--data DIR]\n"
    "       agentrouter policy test FILE|DIR\n"
    "       agentrouter policy explain --policy NAME|FILE (--command TEXT | --path FILE | --read FILE | "
    "--url URL |\n"
    "                --host HOST | --mcp SERVER.TOOL) [--tool TOOL] [--change KIND] [--lines N] [--method "
    "M]\n"
    "                [--url-path PATH] [--cwd DIR] [--runtime R] [--mode M] [--tag K=V]... [--time \"mon "
    "09:30\"]\n"
    "                [--json]\n"
    "       agentrouter policy explain --policy NAME|FILE --signal NAME|all [--json]\n"
    "       agentrouter policy suggest RUN\n"
    "\n"
    "check     whether policy files are understood; without a name, those of the data folder (--data DIR)\n"
    "test      runs the [[tests]] of policy files\n"
    "explain   what a policy says about one action, why, and how the action was understood; or what follows\n"
    "          from a signal that the agent makes no progress, and when it comes\n"
    "suggest   drafts rules from the decisions that were made in a run\n"
    "\n"
    "Example: agentrouter policy explain --policy ask-writes --command 'git status && rm -r build'\n";

struct Loaded {
  PolicySet set;
  std::vector<std::string> names;     // asked for, in order
  std::vector<std::string> problems;  // files that are not understood
};

// A file with the others of its folder, from which it may inherit; or all of a folder.
Result<Loaded> load_policies(const std::string& path) {
  std::error_code error;
  const bool folder = std::filesystem::is_directory(path, error);
  const auto parent = std::filesystem::path(path).parent_path();
  AGENTROUTER_TRY(const auto files, list_policy_files(folder           ? std::filesystem::path(path)
                                                      : parent.empty() ? "."
                                                                       : parent));
  Loaded loaded;
  bool found = false;
  const auto add = [&](const std::filesystem::path& one, bool asked) {
    auto file = read_policy_file(one);
    if (file && asked) loaded.names.push_back(file->name);
    if (!file && asked) loaded.problems.push_back(file.error().message);
    if (file) loaded.set.add(std::move(*file));
  };
  for (const auto& one : files) {
    const bool asked = folder || std::filesystem::equivalent(one, path, error);
    found = found || asked;
    add(one, asked);
  }
  if (!folder && !found) add(path, true);
  return loaded;
}

int say(std::ostream& out, const std::string& text, int code) {
  out << cli::printable(text) << std::endl;
  return code;
}

int check_policies(const std::string& path) {
  const auto loaded = load_policies(path);
  if (!loaded) return say(std::cerr, "agentrouter: " + loaded.error().message, 1);
  auto problems = loaded->problems;
  for (const auto& name : loaded->names) {
    const auto rules = loaded->set.rules(name);
    if (!rules)
      problems.push_back(rules.error().message);
    else
      std::cout << "ok " << name << " " << rules->version() << "\n";
  }
  for (const auto& problem : problems) say(std::cerr, problem, 1);
  if (problems.empty() && loaded->names.empty()) say(std::cerr, "no policies in " + path, 1);
  return problems.empty() && !loaded->names.empty() ? 0 : 1;
}

// A data folder need not have policies.
int check_own_policies(const std::string& folder) {
  std::error_code error;
  return std::filesystem::exists(folder, error) ? check_policies(folder) : say(std::cout, "no policies in " + folder, 0);
}

int test_policies(const std::string& path) {
  const auto loaded = load_policies(path);
  if (!loaded) return say(std::cerr, "agentrouter: " + loaded.error().message, 1);
  int failed = static_cast<int>(loaded->problems.size());
  for (const auto& problem : loaded->problems) say(std::cerr, problem, 1);
  for (const auto& name : loaded->names) {
    const auto rules = loaded->set.rules(name);
    const auto result = rules ? test_policy(*rules, loaded->set.file(name)->tests)
                              : Result<PolicyTestResult>(tl::unexpected(rules.error()));
    if (!result) {
      ++failed;
      say(std::cerr, result.error().message, 1);
      continue;
    }
    for (const auto& failure : result->failures) say(std::cerr, name + ": " + failure, 1);
    failed += static_cast<int>(result->failures.size());
    std::cout << name << ": " << result->passed << " passed, " << result->failures.size() << " failed\n";
  }
  return failed == 0 ? 0 : 1;
}

json::object question_of(const Flags& flags) {
  json::object question;
  for (const auto& [name, values] : flags.values) {
    if (name == "policy" || name == "data" || name == "tag") continue;
    question[name == "url-path" ? "url_path" : name] = values.back();
  }
  if (const auto lines = flags.value("lines")) question["lines"] = std::strtoll(lines->c_str(), nullptr, 10);
  json::object tags;
  for (const auto& tag : flags.all("tag")) {
    const auto equals = std::min(tag.find('='), tag.size());
    tags[tag.substr(0, equals)] = tag.substr(std::min(equals + 1, tag.size()));
  }
  if (!tags.empty()) question["tags"] = std::move(tags);
  return question;
}

Result<policy::Rules> rules_named(const std::string& name, const std::string& folder) {
  if (const auto* preset = policy::preset(name)) return *preset;
  const bool file = name.find('/') != std::string::npos || name.ends_with(".toml");
  const auto path = file ? name : folder + "/" + name + ".toml";
  std::error_code error;
  if (!std::filesystem::exists(path, error))
    return base::fail(base::Code::not_found,
                      "there is no policy \"" + name + "\": no preset is called so, and there is no " + path);
  AGENTROUTER_TRY(const auto loaded, load_policies(path));
  if (!loaded.problems.empty())
    return base::fail(base::Code::invalid, loaded.problems.front(), "policy_invalid");
  return loaded.set.rules(loaded.names.front());
}

using AskedRequest = std::optional<policy::EgressRequest>;

std::string egress_text(const policy::EgressVerdict& word) {
  std::string text = "egress: " + std::string(verdict_word(word.decision)) + " by " + word.rule_id + " of " +
                     word.policy_id + ": " + word.reason + "\n";
  if (word.decision == policy::Decision::blocked) return text;
  text += word.inspect ? "  the connection is looked into" : "  the connection is carried as it is";
  return text + (word.secret.empty() ? "" : ", with the secret " + word.secret + " added") + "\n";
}

void print_explanation(const policy::Rules& rules, const policy::ActionFacts& facts, const AskedRequest& request) {
  const auto egress = request ? egress_text(judge_egress(rules, *request, facts)) : std::string();
  if (request && !rules.judges_actions()) {
    std::cout << cli::printable(egress);
    return;
  }
  const auto verdict = rules.judge(facts);
  std::string text = std::string(verdict_word(verdict.would_be)) +
                     (verdict.dry_run ? " (dry run: allowed)" : "") + "\n  policy  " + verdict.policy_id +
                     " " + verdict.policy_version + "\n  rule    " + verdict.rule_id + "\n  reason  " +
                     verdict.reason + "\n";
  for (const auto& part : rules.explain(facts))
    text += "- it " + part.what + ": " + std::string(verdict_word(part.decision)) + " by " + part.rule_id +
            (rules.name() == part.policy_id ? "" : " of " + part.policy_id) + ": " + part.reason + "\n";
  std::cout << cli::printable(text + egress);
}

void print_explanation_json(const policy::Rules& rules, const policy::ActionFacts& facts,
                            const AskedRequest& request) {
  auto told = rules.judge(facts).to_json();
  json::array parts;
  for (const auto& part : rules.explain(facts)) {
    parts.push_back({{"what", part.what},
                     {"policyId", part.policy_id},
                     {"ruleId", part.rule_id},
                     {"decision", policy::to_string(part.decision)},
                     {"reason", part.reason}});
  }
  told["parts"] = std::move(parts);
  if (request) {
    const auto word = judge_egress(rules, *request, facts);
    told["egress"] = json::object{{"policyId", word.policy_id},
                                  {"ruleId", word.rule_id},
                                  {"decision", policy::to_string(word.decision)},
                                  {"reason", word.reason},
                                  {"inspected", word.inspect},
                                  {"secret", word.secret}};
  }
  std::cout << base::to_text(told) << "\n";
}

json::object signal_json(const policy::NoProgressRules& rules, policy::Signal signal) {
  json::object told{{"signal", policy::to_string(signal)}, {"after", rules.after(signal)}};
  const auto& own = rules.signals[static_cast<std::size_t>(signal)].actions;
  json::array actions;
  for (const auto action : own.empty() ? rules.actions : own) actions.emplace_back(policy::to_string(action));
  told["actions"] = std::move(actions);
  using policy::Signal;
  if (signal == Signal::repeated_command || signal == Signal::repeated_call || signal == Signal::ping_pong)
    told["polls"] = rules.polls;
  if (signal == Signal::error_loop) told["failures"] = rules.failures;
  if (signal == Signal::long_output_without_state) told["commandKib"] = rules.command_kib;
  return told;
}

std::string signal_text(const json::object& told) {
  std::string text(base::get_string(told, "signal").value_or(""));
  text += ": after " + std::to_string(base::get_int(told, "after").value_or(0));
  for (const auto* more : {"polls", "failures", "commandKib"}) {
    if (const auto number = base::get_int(told, more)) text += ", " + std::string(more) + " " + std::to_string(*number);
  }
  std::string actions;
  for (const auto& action : told.at("actions").as_array())
    actions += (actions.empty() ? " " : ", then ") + std::string(action.as_string());
  return text + ":" + actions + "\n";
}

int explain_signals(const policy::Rules& rules, const std::string& name, bool as_json) {
  const auto no_progress = rules.no_progress();
  const auto one = policy::parse_signal(name);
  if (!one && name != "all") return say(std::cerr, "agentrouter: --signal: there is no signal \"" + name + "\"", 2);
  json::array all;
  std::string text;
  for (std::size_t i = 0; i < policy::signal_count; ++i) {
    if (one && static_cast<std::size_t>(*one) != i) continue;
    auto told = signal_json(no_progress, static_cast<policy::Signal>(i));
    text += signal_text(told);
    all.push_back(std::move(told));
  }
  const json::object whole{{"signals", std::move(all)},
                           {"interrupts", no_progress.interrupts},
                           {"dryRun", no_progress.dry_run}};
  text += "interrupts of a run before it is stopped: " + std::to_string(no_progress.interrupts) + "\n";
  if (no_progress.dry_run) text += "dry run: only told of\n";
  std::cout << (as_json ? base::to_text(whole) + "\n" : text);
  return 0;
}

int explain_policy(const Flags& flags, const std::string& folder) {
  const auto name = flags.value("policy");
  if (!name) return say(std::cerr, "agentrouter: explain wants --policy NAME or FILE", 2);
  if (const auto signal = flags.value("signal")) {
    const auto rules = rules_named(*name, folder);
    if (!rules) return say(std::cerr, "agentrouter: " + rules.error().message, 1);
    return explain_signals(*rules, *signal, flags.has("json"));
  }
  const auto request = egress_request_of(question_of(flags));
  if (!request) return say(std::cerr, "agentrouter: --" + request.error().message, 2);
  const auto facts = facts_of(question_of(flags));
  if (!facts) return say(std::cerr, "agentrouter: --" + facts.error().message, 2);
  const auto rules = rules_named(*name, folder);
  if (!rules) return say(std::cerr, "agentrouter: " + rules.error().message, 1);
  if (flags.has("json"))
    print_explanation_json(*rules, *facts, *request);
  else
    print_explanation(*rules, *facts, *request);
  return 0;
}

}  // namespace

int policy_command(const std::vector<std::string>& arguments, const Environment& environment) {
  const auto flags = parse_flags(
      arguments, {.values = {"data", "policy", "tool", "command", "path", "read", "change", "lines", "url",
                             "host", "method", "url-path", "mcp", "cwd", "runtime", "mode", "tag", "time", "signal"},
                  .switches = {"json", "help"}});
  if (!flags || flags->has("help") || flags->rest.empty()) {
    const bool asked = flags && flags->has("help");
    if (!flags) std::cerr << "agentrouter: " << flags.error().message << "\n\n";
    (asked ? std::cout : std::cerr) << policy_usage;
    return asked ? 0 : 2;
  }
  const auto folder =
      flags->value("data").value_or(default_paths(environment, ::geteuid() == 0).data) + "/policies";
  const auto& what = flags->rest.front();
  const auto path = flags->rest.size() > 1 ? flags->rest[1] : folder;
  if (what == "check" && flags->rest.size() == 1) return check_own_policies(folder);
  if (what == "check" && flags->rest.size() == 2) return check_policies(path);
  if (what == "test" && flags->rest.size() == 2) return test_policies(path);
  if (what == "explain" && flags->rest.size() == 1) return explain_policy(*flags, folder);
  if (what == "suggest" && flags->rest.size() == 2)
    return suggest_policy(flags->rest[1], flags->value("data").value_or(""));
  std::cerr << policy_usage;
  return 2;
}

}  // namespace agentrouter::apps
