#pragma once
// Blobs in a folder that may give links, or be away, as a store elsewhere does.

#include "blobs/fs/fs_blobs.h"

namespace agentrouter::api {

class TestBlobs final : public blobs::BlobStore {
 public:
  explicit TestBlobs(std::unique_ptr<blobs::BlobStore> inner) : inner_(std::move(inner)) {}

  std::unique_ptr<blobs::BlobWriter> create(std::string_view key) override { return inner_->create(key); }
  base::Result<blobs::Blob> open(std::string_view key, std::string_view sha256) override {
    if (away) return base::fail(base::Code::unavailable, "the blob store is away", "storage_failed");
    return inner_->open(key, sha256);
  }
  bool exists(std::string_view key) override { return inner_->exists(key); }
  void remove(std::string_view key) override { inner_->remove(key); }
  void remove_empty(std::string_view folder) override { inner_->remove_empty(folder); }
  base::Result<std::optional<std::string>> link(std::string_view key, std::string_view sha256,
                                                std::string_view) override {
    if (links.empty()) return std::optional<std::string>();
    if (away) return base::fail(base::Code::unavailable, "the blob store is away", "storage_failed");
    if (!inner_->exists(key)) return base::fail(base::Code::not_found, "no such blob");
    return links + std::string(key) + "/" + std::string(sha256);
  }

  bool away = false;
  std::string links;  // empty: none are given

 private:
  std::unique_ptr<blobs::BlobStore> inner_;
};

}  // namespace agentrouter::api
