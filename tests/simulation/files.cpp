#include "files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/hash.h"

namespace agentrouter::simulation {

class Journals::File final : public keeper::JournalFile {
 public:
  File(Journals& journals, JournalBytes& bytes, base::Fd fd) : journals_(journals), bytes_(bytes), fd_(std::move(fd)) {}

  base::Result<std::size_t> write_at(std::uint64_t offset, std::string_view bytes) override {
    if (journals_.full) return base::fail(base::Code::exhausted, "cannot write the journal: the disk is full", "storage_full");
    if (::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)) !=
        static_cast<ssize_t>(bytes.size()))
      return base::fail_errno("cannot write the journal", errno);
    bytes_.written.resize(offset);
    bytes_.written += bytes;
    return bytes.size();
  }
  base::Result<void> sync_once() override {
    if (!journals_.lying) bytes_.durable = bytes_.written.size();
    return {};
  }
  // The reserve is had when the journal is made.
  base::Result<void> allocate(std::uint64_t) override {
    if (journals_.full) return base::fail(base::Code::exhausted, "cannot reserve space for the journal: the disk is full", "storage_full");
    return {};
  }

 private:
  Journals& journals_;
  JournalBytes& bytes_;
  base::Fd fd_;
};

std::unique_ptr<keeper::JournalFile> Journals::create(const std::string& attempt, const std::string& path) {
  base::Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return nullptr;
  auto& bytes = all_[attempt];
  bytes = {path, {}, 0, false};
  return std::make_unique<File>(*this, bytes, std::move(fd));
}

void Journals::power_lost(Random& random) {
  for (auto& [attempt, bytes] : all_) {
    if (bytes.durable == bytes.written.size()) continue;
    const auto kept = bytes.durable + random.below(bytes.written.size() - bytes.durable + 1);
    std::string left = bytes.written.substr(0, kept);
    // Its last sector may hold nothing.
    if (random.once_in(3)) {
      const auto from = std::max(bytes.durable, kept - std::min<std::size_t>(kept, 1 + random.below(512)));
      std::fill(left.begin() + static_cast<std::ptrdiff_t>(from), left.end(), '\0');
    }
    const base::Fd fd(::open(bytes.path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
    if (fd && ::write(fd.get(), left.data(), left.size()) < 0) base::throw_errno("cannot cut a journal", errno);
    bytes.written = std::move(left);
    bytes.durable = bytes.written.size();
    bytes.cut = true;
  }
}

class Blobs::Writer final : public blobs::BlobWriter {
 public:
  Writer(Blobs& blobs, std::string_view key) : blobs_(blobs), key_(key) {}
  void write(std::string_view bytes) override {
    if (blobs_.full) base::throw_failure(base::Code::unavailable, "cannot write a blob: the disk is full", "storage_full");
    bytes_ += bytes;
  }
  blobs::BlobInfo written() const override {
    return {static_cast<std::int64_t>(bytes_.size()), base::Sha256::hex_of(bytes_)};
  }
  blobs::BlobInfo commit() override {
    auto info = written();
    blobs_.all_[key_] = std::move(bytes_);
    return info;
  }

 private:
  Blobs& blobs_;
  std::string key_;
  std::string bytes_;
};

std::unique_ptr<blobs::BlobWriter> Blobs::create(std::string_view key) {
  return std::make_unique<Writer>(*this, key);
}

base::Result<blobs::Blob> Blobs::open(std::string_view key, std::string_view) {
  const auto found = all_.find(key);
  if (found == all_.end()) return base::fail(base::Code::not_found, "there is no blob " + std::string(key));
  base::Fd fd(::memfd_create("blob", MFD_CLOEXEC));
  if (!fd) return base::fail_errno("cannot open a blob", errno);
  if (auto written = base::write_all(fd.get(), found->second); !written) return tl::unexpected(written.error());
  ::lseek(fd.get(), 0, SEEK_SET);
  return blobs::Blob{.fd = std::move(fd), .size = static_cast<std::int64_t>(found->second.size())};
}

bool Blobs::exists(std::string_view key) {
  return all_.contains(key);
}

void Blobs::remove(std::string_view key) {
  if (const auto found = all_.find(key); found != all_.end()) all_.erase(found);
}

const std::string* Blobs::find(const std::string& key) const {
  const auto found = all_.find(key);
  return found == all_.end() ? nullptr : &found->second;
}

}  // namespace agentrouter::simulation
