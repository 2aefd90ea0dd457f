#include "apps/data_folder.h"

#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/id.h"
#include "base/json.h"
#include "base/utf8.h"

namespace agentrouter::apps {

base::Result<DataFolder> DataFolder::open(const std::filesystem::path& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  if (auto made = base::make_directories(absolute); !made) return tl::unexpected(made.error());
  if (::access(absolute.c_str(), R_OK | W_OK | X_OK) != 0)
    return base::fail_errno("cannot use the data folder " + absolute.string(), errno);
  for (const char* name : {"blobs", "attempts"}) {
    if (auto made = base::make_directories(absolute / name); !made) return tl::unexpected(made.error());
  }
  return DataFolder(absolute);
}

base::Result<std::string> DataFolder::api_key() const {
  auto stored = base::read_file(path_ / "api_key", 4096);
  if (stored) return std::string(base::trim_js(*stored));
  if (stored.error().code != base::Code::not_found) return stored;
  std::array<std::uint8_t, 32> bytes{};
  base::system_entropy().fill(bytes);
  std::array<char, 64> text{};
  sodium_bin2base64(text.data(), text.size(), bytes.data(), bytes.size(),
                    sodium_base64_VARIANT_URLSAFE_NO_PADDING);
  const std::string key = "ar_" + std::string(text.data());
  if (auto saved = save_api_key(key); !saved) return tl::unexpected(saved.error());
  return key;
}

base::Result<void> DataFolder::save_api_key(const std::string& key) const {
  return base::write_file_durably(path_ / "api_key", key + "\n", 0600);
}

base::Result<std::string> DataFolder::host_id() const {
  auto stored = base::read_file(path_ / "host_id", 4096);
  if (stored) return std::string(base::trim_js(*stored));
  if (stored.error().code != base::Code::not_found) return stored;
  const std::string id = "host_" + base::new_uuid(base::system_entropy());
  if (auto saved = base::write_file_durably(path_ / "host_id", id + "\n", 0600); !saved)
    return tl::unexpected(saved.error());
  return id;
}

base::Result<void> DataFolder::announce(const Announcement& what) const {
  json::object document;
  document["url"] = what.url;
  document["pid"] = static_cast<std::int64_t>(::getpid());
  document["startTime"] = base::to_iso(what.start);
  document["sim"] = what.sim;
  for (const auto& [name, folder] :
       {std::pair("record", &what.record_dir), std::pair("replay", &what.replay_dir)}) {
    if (!folder->empty()) document[name] = std::filesystem::absolute(*folder).lexically_normal().string();
  }
  return base::write_file_durably(path_ / "server.json", base::to_text(document) + "\n", 0600);
}

void DataFolder::withdraw() const {
  ::unlink((path_ / "server.json").c_str());
}

}  // namespace agentrouter::apps
