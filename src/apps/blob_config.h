#pragma once
// What of the configuration says where the bytes of artifacts and checkpoints are ([blobs]), and the store
// that follows from it.

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "apps/environment.h"
#include "blobs/blob_store.h"
#include "blobs/s3/s3_blobs.h"

namespace agentrouter::apps {

struct BlobConfig {
  std::string url;                 // "s3://BUCKET[/PREFIX]"; empty: files in the data folder
  std::string endpoint;            // empty: Amazon's of the region
  std::optional<bool> path_style;  // none: for any endpoint but Amazon's
  std::string ca_file;
  blobs::CredentialFiles files;
  std::optional<blobs::Credentials> keys;  // of the environment, when there are no files
  blobs::Credentials first;                // what keys or files said at the start: to be hidden
  blobs::S3Options options;                // place, once it is settled

  [[nodiscard]] bool is_s3() const { return !url.empty(); }
};

[[nodiscard]] bool is_blob_setting(const std::string& key);
// Errors: invalid, naming the key and what is wanted.
[[nodiscard]] base::Result<void> set_blob_value(BlobConfig& config, const std::string& key,
                                                const std::string& text);
// Takes AGENTROUTER_BLOBS_URL and AGENTROUTER_BLOBS_ENDPOINT instead of the file's, and AWS_REGION and the
// keys (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN) where no file says them, and judges the
// whole. Errors: invalid, naming the key and what is wanted.
[[nodiscard]] base::Result<void> settle_blobs(BlobConfig& config, const Environment& environment);
[[nodiscard]] std::string print_blobs(const BlobConfig& config);

// Told of keys that take the place of the first ones.
using OnBlobKeys = std::function<void(const blobs::Credentials&)>;

// The S3 store of the configuration, not asked yet. `cache`: the folder of its copies on this machine.
// Errors: of reading files and making the folder.
[[nodiscard]] base::Result<std::unique_ptr<blobs::S3Blobs>> open_s3_blobs(const BlobConfig& config,
                                                                          const std::filesystem::path& cache,
                                                                          const OnBlobKeys& told = {});
// Where the bytes of this data folder's blobs are, if they are not in it: what blobs.url was when a server
// last used it. A file of the folder says so, for those who have no configuration; empty when there is none.
[[nodiscard]] std::string blobs_elsewhere(const std::filesystem::path& data);
// Durable when it returns. Errors: conflict (blobs_elsewhere: they are in another one), those of writing.
[[nodiscard]] base::Result<void> note_blobs_elsewhere(const BlobConfig& config,
                                                      const std::filesystem::path& data);

// The configured store in this data folder. A store elsewhere that cannot be reached now is told in the log;
// one that a person has to do something about (keys, bucket, region, clock) is an error. Errors also:
// conflict, when the folder's blobs are in a store that is not configured (blobs_elsewhere), or in the folder
// and one is (blobs_here).
[[nodiscard]] base::Result<std::unique_ptr<blobs::BlobStore>> open_blobs(const BlobConfig& config,
                                                                         const std::filesystem::path& data,
                                                                         const OnBlobKeys& told = {});

}  // namespace agentrouter::apps
