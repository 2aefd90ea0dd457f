#pragma once
// The files of the simulated machine besides the database: journals and blobs.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "blobs/blob_store.h"
#include "keeper/journal_file.h"
#include "random.h"

namespace agentrouter::simulation {

// What lies in one attempt's journal. The bytes are also in a real file, where the worker reads them.
struct JournalBytes {
  std::string path;
  std::string written;
  std::size_t durable = 0;
  bool cut = false;  // by a power loss
};

class Journals {
 public:
  // Of the attempt, at `path`.
  [[nodiscard]] std::unique_ptr<keeper::JournalFile> create(const std::string& attempt, const std::string& path);
  [[nodiscard]] const std::map<std::string, JournalBytes>& all() const { return all_; }
  // Keeps what was synced and some of the rest.
  void power_lost(Random& random);

  bool full = false;   // the disk is
  bool lying = false;  // it says that it has synced

 private:
  class File;
  std::map<std::string, JournalBytes> all_;
};

// Durable at once, as a blob is after commit().
class Blobs final : public blobs::BlobStore {
 public:
  [[nodiscard]] std::unique_ptr<blobs::BlobWriter> create(std::string_view key) override;
  [[nodiscard]] base::Result<blobs::Blob> open(std::string_view key, std::string_view sha256) override;
  [[nodiscard]] bool exists(std::string_view key) override;
  void remove(std::string_view key) override;
  void remove_empty(std::string_view) override {}

  [[nodiscard]] const std::string* find(const std::string& key) const;
  bool full = false;

 private:
  class Writer;
  std::map<std::string, std::string, std::less<>> all_;
};

}  // namespace agentrouter::simulation
