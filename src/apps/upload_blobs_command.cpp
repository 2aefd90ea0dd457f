#include <fcntl.h>
#include <unistd.h>

#include <iostream>
#include <memory>

#include "apps/backup_manifest.h"
#include "apps/blob_config.h"
#include "apps/commands.h"
#include "apps/config.h"
#include "apps/flags.h"
#include "base/json.h"
#include "blobs/fs/fs_blobs.h"
#include "store/sqlite/folder_lock.h"
#include "store/sqlite/inspect.h"
#include "store/sqlite/snapshot.h"

namespace agentrouter::apps {

namespace {

constexpr std::string_view upload_help =
    "Usage: agentrouter upload-blobs [--data DIR] [--config FILE] [--json]\n\n"
    "Puts every artifact and checkpoint that the database names from the data folder into the store that "
    "[blobs] of the\n"
    "configuration names, and notes in the folder that they are there. For the step from one machine to a "
    "store that\n"
    "machines share: write [blobs] into agentrouter.toml, stop the server, run this, start the server. May "
    "be repeated;\n"
    "what is there already is not sent again. Nothing is removed: delete DATA/blobs when you have seen that "
    "it works.\n"
    "Exit code 1: it could not be done, or bytes that the folder had lost are therefore missing.\n\n"
    "Example: agentrouter upload-blobs --data /var/lib/agentrouter\n";

struct Uploaded {
  std::int64_t sent = 0;
  std::int64_t there = 0;
  std::int64_t bytes = 0;
  std::vector<std::string> lost;
};

void upload_one(blobs::BlobStore& from, blobs::BlobStore& to, const store::NamedBlob& blob,
                Uploaded& report) {
  if (to.holds(blob.key, blob.sha256)) {
    ++report.there;
    return;
  }
  const auto found = from.open(blob.key, blob.sha256);
  if (!found || !blobs::check_blob(*found, blob.sha256)) {
    report.lost.push_back(blob.key);
    return;
  }
  (void)base::value_or_throw(to.put_from(blob.key, found->fd.get(), blob.size));
  ++report.sent;
  report.bytes += blob.size;
}

base::Result<Uploaded> upload(const Config& config) {
  const std::filesystem::path data = config.data;
  AGENTROUTER_TRY(const auto lock, store::FolderLock::take(data));
  AGENTROUTER_TRY(auto database, store::open_as_guest(data / database_name));
  AGENTROUTER_TRY(const auto from, blobs::open_fs_blobs(data / "blobs"));
  AGENTROUTER_TRY(const auto to, open_s3_blobs(config.blobs, data / "blob_cache"));
  if (auto works = to->check(); !works) return tl::unexpected(works.error());
  Uploaded report;
  for (const auto& blob : store::named_blobs(database)) upload_one(*from, *to, blob, report);
  if (auto noted = note_blobs_elsewhere(config.blobs, data); !noted) return tl::unexpected(noted.error());
  return report;
}

int print_uploaded(const Uploaded& report, const Config& config, bool as_json) {
  if (as_json) {
    json::array lost;
    for (const auto& key : report.lost) lost.push_back(json::string(key));
    std::cout << base::to_text(json::object{{"sent", report.sent},
                                            {"there", report.there},
                                            {"bytes", report.bytes},
                                            {"lost", std::move(lost)}})
              << "\n";
  } else {
    std::cout << config.blobs.url << " has the artifacts of " << config.data << ": " << report.sent
              << " sent (" << report.bytes << " bytes), " << report.there << " were there.\n";
    for (const auto& key : report.lost) std::cerr << "agentrouter: the data folder had lost " << key << "\n";
  }
  return report.lost.empty() ? 0 : 1;
}

}  // namespace

int upload_blobs_command(const std::vector<std::string>& arguments, const Environment& environment) {
  const auto flags = parse_flags(arguments, {.values = {"data", "config"}, .switches = {"json", "help"}});
  if (flags && flags->has("help")) {
    std::cout << upload_help;
    return 0;
  }
  if (!flags || !flags->rest.empty()) {
    std::cerr << upload_help;
    return 2;
  }
  const auto config = load_config(*flags, environment, ::geteuid() == 0);
  if (!config || !config->blobs.is_s3()) {
    std::cerr << "agentrouter: "
              << (config ? "blobs.url is not set: write [blobs] into agentrouter.toml"
                         : config.error().message)
              << "\n";
    return 2;
  }
  const auto report = upload(*config);
  if (!report) {
    std::cerr << "agentrouter: " << report.error().message << "\n";
    return 1;
  }
  return print_uploaded(*report, *config, flags->has("json"));
}

}  // namespace agentrouter::apps
