#include <unistd.h>

#include <iostream>

#include "apps/backup.h"
#include "apps/commands.h"
#include "apps/config.h"
#include "apps/flags.h"
#include "apps/fsck.h"

namespace agentrouter::apps {
namespace {

constexpr std::string_view backup_help =
    "Usage: agentrouter backup DIR [--data DIR] [--json]\n\n"
    "Copies the data folder of this machine's server to DIR, while it serves or not: the database as it is "
    "at one\n"
    "moment, artifacts, checkpoints, base trees, the API key, agentrouter.toml and policies. Into an earlier "
    "backup only\n"
    "what is new is copied. DIR then holds secrets and is closed to others (0700). Everything is read back.\n"
    "Artifacts and checkpoints in an S3 store ([blobs]) stay there and are not copied.\n"
    "Exit code 1: it could not be made, or the data folder has lost something that the backup therefore lacks.\n\n"
    "Example: agentrouter backup /mnt/backups/agentrouter\n";

constexpr std::string_view restore_help =
    "Usage: agentrouter restore DIR --data NEW [--json]\n\n"
    "Makes the data folder NEW, which must not be there or be empty, from a backup in DIR. The server that "
    "is started on\n"
    "it goes on from the moment of the backup: runs that were being carried out then end as attempt_lost, or "
    "begin\n"
    "again when nothing had happened; queued ones are carried out. Do not start it beside the old one.\n\n"
    "Example: agentrouter restore /mnt/backups/agentrouter --data /var/lib/agentrouter\n";

constexpr std::string_view fsck_help =
    "Usage: agentrouter fsck [--data DIR] [--repair] [--json]\n\n"
    "Reads everything in the data folder and says what is not as it should be: pages, rows, artifacts, the "
    "audit\n"
    "chain, journals, leftovers. A server may go on meanwhile. --repair (without a server) does what loses "
    "nothing:\n"
    "makes indices anew and removes bytes that no row names and that are older than a day.\n"
    "Exit code 0: nothing is damaged; 1: something is; 2: it could not be looked at.\n\n"
    "Example: agentrouter fsck\n";

constexpr std::string_view master_key_word =
    "Provider keys and webhook secrets in it are sealed. The master key is in no backup: configure it as it was, or put "
    "it back to ";

struct Asked {
  Flags flags;
  std::string data;
};

int say(const base::Error& error, int code) {
  std::cerr << "agentrouter: " << error.message << "\n";
  return code;
}

// The exit code of a command that ends here, or what it was asked.
std::variant<int, Asked> ask(const std::vector<std::string>& arguments, const Environment& environment,
                             const std::string& word, std::string_view help, std::size_t words,
                             bool repairs = false) {
  FlagSpec spec{.values = {"data"}, .switches = {"json", "help"}};
  if (repairs) spec.switches.insert("repair");
  auto flags = parse_flags(arguments, spec);
  if (flags && flags->has("help")) {
    std::cout << help;
    return 0;
  }
  if (!flags || flags->rest.size() != words) {
    if (!flags) std::cerr << "agentrouter: " << flags.error().message << "\n";
    std::cerr << help;
    return 2;
  }
  const auto data = flags->value("data").value_or(default_paths(environment, ::geteuid() == 0).data);
  // What is wrong with the configuration otherwise does not matter here.
  if (const auto config = load_config(*flags, environment, ::geteuid() == 0);
      config && config->store.is_shared())
    return say(store_is_shared(word), 2);
  return Asked{std::move(*flags), data};
}

json::array texts(const std::vector<std::string>& all) {
  json::array made;
  for (const auto& text : all) made.push_back(json::string(text));
  return made;
}

void say_lost(const std::vector<std::string>& lost) {
  for (const auto& key : lost) std::cerr << "agentrouter: the data folder had lost " << key << "\n";
}

std::string plural(std::int64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

void print_problem(const Problem& problem) {
  std::cout << (problem.repaired                       ? "repaired  "
                : problem.severity == Severity::damage ? "DAMAGE    "
                                                       : "leftover  ")
            << problem.finding.code << ": " << problem.finding.what << "\n          " << problem.finding.where
            << "\n";
  if (!problem.repaired) std::cout << "          -> " << problem.finding.fix << "\n";
}

std::string sealed_text(const FsckReport& report) {
  if (report.sealed_values == 0) return {};
  auto text = ", " + plural(report.sealed_values, "sealed value");
  if (!report.locked.empty())
    text += " (" + std::to_string(report.sealed_values - report.opened_values) + " not opened: " + report.locked + ")";
  return text;
}

base::Result<vault::Keyring> keyring_of(const Flags& flags, const std::string& data, const Environment& environment) {
  AGENTROUTER_TRY(const Config config, load_config(flags, environment, ::geteuid() == 0));
  return vault::Keyring::open(keyring_config(config.vault, data));
}

json::object fsck_json(const FsckReport& report) {
  json::array problems;
  for (const auto& problem : report.problems) {
    problems.push_back({{"severity", to_string(problem.severity)},
                        {"code", problem.finding.code},
                        {"what", problem.finding.what},
                        {"where", problem.finding.where},
                        {"fix", problem.finding.fix},
                        {"repaired", problem.repaired}});
  }
  return {{"ok", report.ok()},
          {"checked",
           {{"pages", report.pages},
            {"pageChecksums", report.page_checksums},
            {"blobs", report.blobs},
            {"blobsElsewhere", report.elsewhere},
            {"auditEntries", report.audit_entries},
            {"journals", report.journals},
            {"sealedValues", report.sealed_values},
            {"openedValues", report.opened_values},
            {"locked", report.locked}}},
          {"problems", std::move(problems)}};
}

}  // namespace

int backup_command(const std::vector<std::string>& arguments, const Environment& environment) {
  auto asked = ask(arguments, environment, "back up", backup_help, 1);
  if (const int* code = std::get_if<int>(&asked)) return *code;
  const auto& [flags, data] = std::get<Asked>(asked);
  const auto report = make_backup(data, flags.rest.front(), base::system_clock());
  if (!report) return say(report.error(), report.error().code == base::Code::invalid ? 2 : 1);
  if (flags.has("json")) {
    std::cout << base::to_text(json::object{{"databaseBytes", report->database_bytes},
                                            {"blobs", report->blobs},
                                            {"blobBytes", report->blob_bytes},
                                            {"copied", report->copied},
                                            {"trees", report->trees},
                                            {"files", report->files},
                                            {"lost", texts(report->lost)},
                                            {"blobsElsewhere", report->elsewhere}})
              << "\n";
  } else {
    std::cout << "Backup of " << data << " in " << flags.rest.front() << ": database "
              << report->database_bytes << " bytes, " << plural(report->blobs, "blob") << " ("
              << report->copied << " new), " << plural(report->trees, "tree") << ", "
              << plural(report->files, "file")
              << ". It holds secrets: keep it as closed as the data folder.\n";
    if (!report->elsewhere.empty())
      std::cout << "Artifacts and checkpoints are not in it: they are in " << report->elsewhere
                << ", which needs a backup (or versions of its objects) of its own.\n";
  }
  say_lost(report->lost);
  return report->lost.empty() ? 0 : 1;
}

int restore_command(const std::vector<std::string>& arguments, const Environment& environment) {
  auto asked = ask(arguments, environment, "restore", restore_help, 1);
  if (const int* code = std::get_if<int>(&asked)) return *code;
  const auto& [flags, data] = std::get<Asked>(asked);
  if (!flags.value("data")) return say({base::Code::invalid, "restore needs --data: the folder to make"}, 2);
  const auto report = restore_backup(flags.rest.front(), data);
  if (!report) return say(report.error(), 1);
  if (flags.has("json")) {
    std::cout << base::to_text(json::object{{"madeAt", report->made_at},
                                            {"blobs", report->blobs},
                                            {"trees", report->trees},
                                            {"files", report->files},
                                            {"sealed", report->sealed},
                                            {"lost", texts(report->lost)}})
              << "\n";
  } else {
    std::cout << data << " is as it was at " << report->made_at << ": " << plural(report->blobs, "blob")
              << ", " << plural(report->trees, "tree") << ", " << plural(report->files, "file")
              << ".\nStart a server on it: agentrouter serve --data " << data << "\n";
    if (report->sealed) std::cout << master_key_word << data << "/master_key.\n";
  }
  say_lost(report->lost);
  return 0;
}

int fsck_command(const std::vector<std::string>& arguments, const Environment& environment) {
  auto asked = ask(arguments, environment, "check", fsck_help, 0, true);
  if (const int* code = std::get_if<int>(&asked)) return *code;
  const auto& [flags, data] = std::get<Asked>(asked);
  const auto repair = flags.has("repair") ? Repair::yes : Repair::no;
  // Of the server's configuration only where its master keys are; without them nothing sealed is opened.
  const auto keyring = keyring_of(flags, data, environment);
  if (!keyring) std::cerr << "agentrouter: what is sealed is not opened: " << keyring.error().message << "\n";
  const auto report = check_data(data, {.repair = repair, .keyring = keyring ? &*keyring : nullptr}, base::system_clock());
  if (!report) return say(report.error(), 2);
  if (flags.has("json")) {
    std::cout << base::to_text(fsck_json(*report)) << "\n";
    return report->ok() ? 0 : 1;
  }
  for (const auto& problem : report->problems) print_problem(problem);
  std::cout << data << ": " << plural(static_cast<std::int64_t>(report->pages), "page")
            << (report->page_checksums ? "" : " (without checksums)") << ", " << plural(report->blobs, "blob")
            << (report->elsewhere.empty() ? "" : " here (those in " + report->elsewhere + " are not looked at)") << ", "
            << "audit chain of " << report->audit_entries << ", " << plural(report->journals, "open journal") << sealed_text(*report) << ". "
            << (report->ok() ? "Nothing is damaged.\n" : "Something is damaged.\n");
  return report->ok() ? 0 : 1;
}

}  // namespace agentrouter::apps
