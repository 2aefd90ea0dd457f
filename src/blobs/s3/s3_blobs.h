#pragma once
// Blobs in an S3 store that any number of machines share. Under the prefix of blobs.url lie
//
//   keys/<key>/<sha256>   a blob: its bytes while they are few, else empty and with a field that names the
//   object that
//                         has them
//   sha256/ab/cdef...     the bytes of larger blobs, each once (shared_content.h, also for uses/ and dooms/)
//   probe/<random>        for as long as check() takes
//
// So the name of every object with bytes holds their digest: writing twice is writing the same, a machine
// that slept cannot put older bytes in the place of newer ones, and no write needs to be conditional.
//
// A blob is written to a local file first, since its digest is a part of its name; it is read into one before
// its first byte is given, since only then it is known whether all of it is right. Both files are
// BlobCache's. A slow reader of the file holds no connection to the store.

#include <filesystem>
#include <memory>

#include "blobs/blob_store.h"
#include "blobs/s3/blob_cache.h"
#include "blobs/s3/s3_client.h"
#include "blobs/s3/shared_content.h"

namespace agentrouter::blobs {

struct S3Options {
  S3Place place;
  TransportLimits limits;
  S3Retries retries;
  std::string ca_file;
  std::chrono::seconds presign{0};  // how long a link is good; 0: none is given
  std::int64_t cache_bytes = 1ll << 30;
  std::int64_t part_bytes =
      8ll << 20;  // of a multipart upload; a larger one when there would be more than 10,000
  std::int64_t inline_bytes = 64ll << 10;  // up to so many bytes are in the blob's own object
};

class S3Blobs final : public BlobStore {
 public:
  // `folder` is the cache's. Clock and entropy outlive it. Errors: those of the folder. Asks the store
  // nothing.
  [[nodiscard]] static base::Result<std::unique_ptr<S3Blobs>> open(S3Options options,
                                                                   std::unique_ptr<CredentialSource> keys,
                                                                   const std::filesystem::path& folder,
                                                                   const base::Clock& clock,
                                                                   base::Entropy& entropy);
  S3Blobs(S3Options options, std::unique_ptr<CredentialSource> keys, std::unique_ptr<BlobCache> cache,
          const base::Clock& clock, base::Entropy& entropy);

  // Puts, reads, lists and deletes a small object. Errors: denied, when a person has to do something; else
  // unavailable.
  [[nodiscard]] base::Result<void> check();

  std::unique_ptr<BlobWriter> create(std::string_view key) override;
  base::Result<Blob> open(std::string_view key, std::string_view sha256) override;
  bool exists(std::string_view key) override;
  bool holds(std::string_view key, std::string_view sha256) override;
  void remove(std::string_view key) override;
  void remove_empty(std::string_view folder) override;
  [[nodiscard]] bool is_remote() const override { return true; }
  base::Result<std::optional<std::string>> link(std::string_view key, std::string_view sha256,
                                                std::string_view content_type) override;
  void sweep(const std::atomic<bool>& stopped) override;
  void stop() override { client_.stop(); }

 private:
  class Writer;
  [[nodiscard]] base::Result<void> store(const std::string& key, const FillingFile& file);
  [[nodiscard]] base::Result<void> upload(const std::string& name, const FillingFile& file);
  [[nodiscard]] base::Result<void> upload_parts(const std::string& name, const std::string& id,
                                                const FillingFile& file);
  [[nodiscard]] base::Result<bool> fetch(const std::string& name, FillingFile& file);
  [[nodiscard]] base::Result<void> remove_object(const std::string& key, const S3Object& object);
  [[nodiscard]] base::Result<void> abort_old_uploads(const std::atomic<bool>& stopped);

  const S3Options options_;
  base::Entropy& entropy_;
  std::unique_ptr<CredentialSource> keys_;
  std::unique_ptr<BlobCache> cache_;
  S3Client client_;
  SharedContent shared_;
};

}  // namespace agentrouter::blobs
