#pragma once
// The server's folder: everything it keeps, and the two small files by which the client commands of the same
// machine find it.

#include <filesystem>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/error.h"

namespace agentrouter::apps {

class DataFolder {
 public:
  // Makes the folder (0700) if need be. Errors: denied, conflict (it is a file), unavailable.
  [[nodiscard]] static base::Result<DataFolder> open(const std::filesystem::path& path);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path database() const { return path_ / "agentrouter.db"; }
  [[nodiscard]] std::filesystem::path blobs() const { return path_ / "blobs"; }
  [[nodiscard]] std::filesystem::path attempts() const { return path_ / "attempts"; }
  [[nodiscard]] std::filesystem::path trees() const { return path_ / "trees"; }
  [[nodiscard]] std::filesystem::path images() const { return path_ / "images"; }

  // The key in `api_key` (0600), made on first use: "ar_" and 43 random characters.
  [[nodiscard]] base::Result<std::string> api_key() const;
  // The configured key where the client commands of this machine find it.
  [[nodiscard]] base::Result<void> save_api_key(const std::string& key) const;
  // What names this folder of attempts in the store, made on first use and kept in `host_id`. It is in no
  // backup: a store that is restored elsewhere has its attempts on another host.
  [[nodiscard]] base::Result<std::string> host_id() const;
  // {"url","pid","startTime","sim","record"?,"replay"?} in server.json (0600). `sim` keeps a client that
  // expects a real model from using a simulated one, and the other way round; so do the folders of cassettes.
  struct Announcement {
    std::string url;
    base::Time start;
    bool sim = false;
    std::string record_dir = {};
    std::string replay_dir = {};
  };
  [[nodiscard]] base::Result<void> announce(const Announcement& what) const;
  void withdraw() const;

 private:
  explicit DataFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace agentrouter::apps
