#include "blobs/s3/s3_blobs.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/hash.h"
#include "base/log.h"

namespace agentrouter::blobs {

namespace {

using base::Code;
using base::Result;

constexpr std::int64_t mebibyte = 1ll << 20;
constexpr std::int64_t most_parts = 10'000;
constexpr auto upload_is_dead = std::chrono::hours(24);
constexpr std::size_t sha256_digits = 64;

std::string blob_name(std::string_view key, std::string_view sha256) {
  return "keys/" + std::string(key) + "/" + std::string(sha256);
}

// Others are of keys below this one.
bool is_blob_of(const S3Object& object, const std::string& prefix) {
  return object.key.size() == prefix.size() + sha256_digits &&
         object.key.find('/', prefix.size()) == std::string::npos;
}

// For a caller that can only wait or give up.
base::Error as_unavailable(base::Error error) {
  if (error.reason.empty()) error.reason = "storage_failed";
  if (error.code != Code::invalid || error.reason != "blob_key_invalid") error.code = Code::unavailable;
  return error;
}

void or_throw(const Result<void>& done) {
  if (!done) throw base::Failure(as_unavailable(done.error()));
}

Result<std::string> read_range(const FileRange& range) {
  std::string bytes(static_cast<std::size_t>(range.size), '\0');
  for (std::int64_t at = 0; at < range.size;) {
    const ssize_t got =
        ::pread(range.fd, bytes.data() + at, static_cast<std::size_t>(range.size - at), range.from + at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::fail_errno("cannot read what is to be stored", errno);
    if (got == 0)
      return base::fail(Code::unavailable, "what is to be stored has become shorter", "storage_failed");
    at += got;
  }
  return bytes;
}

Result<std::string> digest_of_range(const FileRange& range) {
  base::Sha256 hash;
  for (std::int64_t at = 0; at < range.size; at += mebibyte) {
    AGENTROUTER_TRY(const auto piece,
                    read_range({range.fd, range.from + at, std::min(mebibyte, range.size - at)}));
    hash.update(piece);
  }
  return hash.hex();
}

}  // namespace

class S3Blobs::Writer final : public BlobWriter {
 public:
  Writer(S3Blobs& blobs, std::string_view key) : blobs_(blobs), key_(key), file_(blobs.cache_->make()) {}
  void write(std::string_view bytes) override { file_->write(bytes); }
  BlobInfo written() const override { return {file_->size(), file_->sha256()}; }
  BlobInfo commit() override {
    or_throw(blobs_.store(key_, *file_));
    auto info = written();
    // It is likely to be read soon: by the next turn of a conversation.
    blobs_.cache_->keep(*file_);
    return info;
  }

 private:
  S3Blobs& blobs_;
  std::string key_;
  std::unique_ptr<FillingFile> file_;
};

Result<std::unique_ptr<S3Blobs>> S3Blobs::open(S3Options options, std::unique_ptr<CredentialSource> keys,
                                               const std::filesystem::path& folder, const base::Clock& clock,
                                               base::Entropy& entropy) {
  AGENTROUTER_TRY(auto cache, BlobCache::open(folder, options.cache_bytes));
  return std::make_unique<S3Blobs>(std::move(options), std::move(keys), std::move(cache), clock, entropy);
}

S3Blobs::S3Blobs(S3Options options, std::unique_ptr<CredentialSource> keys, std::unique_ptr<BlobCache> cache,
                 const base::Clock& clock, base::Entropy& entropy)
    : options_(std::move(options)),
      entropy_(entropy),
      keys_(std::move(keys)),
      cache_(std::move(cache)),
      client_({options_.place, options_.limits, options_.retries, options_.ca_file, *keys_, clock, entropy}),
      shared_(client_, entropy) {}

Result<void> S3Blobs::check() {
  std::array<std::uint8_t, 8> random{};
  entropy_.fill(random);
  const auto name = "probe/" + base::to_hex(random.data(), random.size());
  const std::string bytes = "agentrouter " + name;
  const auto undo = [this, &name](Result<void> told) {
    (void)client_.remove(name);
    return told;
  };
  if (auto done = client_.put(name, {bytes, {}, base::Sha256::hex_of(bytes)}); !done) return done;
  std::string back;
  const auto got =
      client_.get(name, [&back] { back.clear(); }, [&back](std::string_view piece) { back += piece; });
  if (!got) return undo(tl::unexpected(got.error()));
  if (back != bytes)
    return undo(base::fail(Code::denied, "the blob store gives back something else than was put there",
                           "storage_failed"));
  const auto listed = client_.list(name);
  if (!listed) return undo(tl::unexpected(listed.error()));
  if (listed->objects.size() != 1)
    return undo(base::fail(
        Code::denied,
        "the blob store does not list at once what was put there: stores without strong consistency "
        "cannot be used",
        "storage_failed"));
  return client_.remove(name);
}

std::unique_ptr<BlobWriter> S3Blobs::create(std::string_view key) {
  constexpr std::size_t longest_key = 800;  // of 1,024, with prefix and digest
  if (!is_blob_key(key) || key.size() > longest_key) throw base::Failure(bad_blob_key(key));
  return std::make_unique<Writer>(*this, key);
}

Result<void> S3Blobs::store(const std::string& key, const FillingFile& file) {
  const BlobInfo info{file.size(), file.sha256()};
  const auto name = blob_name(key, info.sha256);
  if (info.size <= options_.inline_bytes) {
    AGENTROUTER_TRY(auto bytes, read_range({file.fd(), 0, info.size}));
    return client_.put(name, {std::move(bytes), {}, info.sha256});
  }
  AGENTROUTER_TRY(const auto content,
                  shared_.take(info, key, [&](const std::string& to) { return upload(to, file); }));
  return client_.put(name, {{}, {}, std::string(empty_sha256)}, content);
}

Result<void> S3Blobs::upload(const std::string& name, const FillingFile& file) {
  if (file.size() <= 2 * options_.part_bytes)
    return client_.put(name, {{}, FileRange{file.fd(), 0, file.size()}, file.sha256()});
  AGENTROUTER_TRY(const auto id, client_.begin_upload(name));
  auto done = upload_parts(name, id, file);
  if (done) return done;
  // Completed, perhaps, by a request whose answer was lost.
  if (done.error().code == Code::not_found) {
    const auto there = client_.head(name);
    if (there && *there && (*there)->size == file.size()) return {};
  }
  if (const auto aborted = client_.abort_upload(name, id); !aborted)
    base::log(base::LogLevel::warn, "an upload is left in the blob store until it is a day old",
              {{"name", name}, {"cause", aborted.error().message}});
  return done;
}

Result<void> S3Blobs::upload_parts(const std::string& name, const std::string& id, const FillingFile& file) {
  const auto least = (file.size() + most_parts - 1) / most_parts;
  const auto part_bytes = std::max(options_.part_bytes, (least + mebibyte - 1) / mebibyte * mebibyte);
  std::vector<std::string> tags;
  for (std::int64_t from = 0; from < file.size(); from += part_bytes) {
    const FileRange range{file.fd(), from, std::min(part_bytes, file.size() - from)};
    AGENTROUTER_TRY(auto digest, digest_of_range(range));
    AGENTROUTER_TRY(auto tag, client_.put_part(name, id, static_cast<int>(tags.size()) + 1,
                                               {{}, range, std::move(digest)}));
    tags.push_back(std::move(tag));
  }
  return client_.complete_upload(name, id, tags);
}

// False: there is no such object.
Result<bool> S3Blobs::fetch(const std::string& name, FillingFile& file) {
  const auto begin = [&file] { file.clear(); };
  const auto sink = [&file](std::string_view bytes) { file.write(bytes); };
  AGENTROUTER_TRY(const auto got, client_.get(name, begin, sink));
  if (!got) return false;
  if (got->content.empty()) return true;
  AGENTROUTER_TRY(const auto content, client_.get(got->content, begin, sink));
  return content.has_value();
}

Result<Blob> S3Blobs::open(std::string_view key, std::string_view sha256) {
  if (!is_blob_key(key)) return tl::unexpected(bad_blob_key(key));
  const std::string digest(sha256);
  if (digest.size() != sha256_digits || digest.find_first_not_of("0123456789abcdef") != std::string::npos)
    return base::fail(Code::not_found, "no blob " + std::string(key));
  if (auto fd = cache_->find(digest)) {
    const auto size = ::lseek(fd.get(), 0, SEEK_END);
    ::lseek(fd.get(), 0, SEEK_SET);
    return Blob{std::move(fd), size, true};
  }
  for (int attempt = 1; attempt <= 2; ++attempt) {  // bytes may be spoilt on the way, once
    const auto file = cache_->make();
    const auto found = fetch(blob_name(key, digest), *file);
    if (!found) return tl::unexpected(as_unavailable(found.error()));
    if (!*found)
      return base::fail(Code::not_found, "no blob " + std::string(key) + " with SHA-256 " + digest);
    if (file->sha256() != digest) continue;
    const auto size = file->size();
    cache_->keep(*file);
    return Blob{file->take(), size, true};
  }
  return base::fail(Code::corrupt, "the bytes of the artifact are not what was written", "artifact_damaged");
}

bool S3Blobs::exists(std::string_view key) {
  if (!is_blob_key(key)) return false;
  const auto listed = client_.list("keys/" + std::string(key) + "/");
  if (!listed) throw base::Failure(as_unavailable(listed.error()));
  const auto prefix = "keys/" + std::string(key) + "/";
  return std::ranges::any_of(listed->objects,
                             [&prefix](const S3Object& one) { return is_blob_of(one, prefix); });
}

bool S3Blobs::holds(std::string_view key, std::string_view sha256) {
  if (!is_blob_key(key)) return false;
  const auto head = client_.head(blob_name(key, sha256));
  if (!head) throw base::Failure(as_unavailable(head.error()));
  return head->has_value();
}

Result<void> S3Blobs::remove_object(const std::string& key, const S3Object& object) {
  const auto sha256 = object.key.substr(object.key.size() - sha256_digits);
  AGENTROUTER_TRY(const auto head, client_.head(object.key));
  if (head && !head->content.empty()) {
    if (auto done = shared_.drop(head->content, sha256, key); !done) return done;
  }
  cache_->forget(sha256);
  return client_.remove(object.key);  // last: until then all of this is repeated
}

void S3Blobs::remove(std::string_view key) {
  if (!is_blob_key(key)) throw base::Failure(bad_blob_key(key));
  const auto prefix = "keys/" + std::string(key) + "/";
  std::string token;
  do {
    const auto page = client_.list(prefix, token);
    if (!page) throw base::Failure(as_unavailable(page.error()));
    for (const auto& object : page->objects) {
      if (is_blob_of(object, prefix)) or_throw(remove_object(std::string(key), object));
    }
    token = page->next;
  } while (!token.empty());
}

void S3Blobs::remove_empty(std::string_view folder) {
  if (!is_blob_key(folder)) throw base::Failure(bad_blob_key(folder));
}

Result<std::optional<std::string>> S3Blobs::link(std::string_view key, std::string_view sha256,
                                                 std::string_view content_type) {
  if (!is_blob_key(key)) return tl::unexpected(bad_blob_key(key));
  if (options_.presign.count() == 0) return std::optional<std::string>();
  const auto name = blob_name(key, sha256);
  const auto head = client_.head(name);
  if (!head) return tl::unexpected(as_unavailable(head.error()));
  if (!*head) return base::fail(Code::not_found, "no blob " + std::string(key));
  Pairs query{{"response-content-disposition", "attachment"}};
  if (!content_type.empty()) query.emplace_back("response-content-type", content_type);
  return client_.link((*head)->content.empty() ? name : (*head)->content, options_.presign, std::move(query));
}

Result<void> S3Blobs::abort_old_uploads(const std::atomic<bool>& stopped) {
  S3Uploads page;
  do {
    auto next = client_.uploads(page);
    if (!next && next.error().code == Code::unsupported) return {};  // then they are the store's own affair
    if (!next) return tl::unexpected(next.error());
    page = std::move(*next);
    for (const auto& one : page.uploads) {
      if (stopped || client_.store_time() - one.begun < upload_is_dead) continue;
      if (auto done = client_.abort_upload(one.key, one.id); !done) return done;
    }
  } while (!page.next_key.empty() && !stopped);
  return {};
}

void S3Blobs::sweep(const std::atomic<bool>& stopped) {
  or_throw(shared_.sweep(
      [this](const std::string& key, const std::string& sha256) -> Result<bool> {
        AGENTROUTER_TRY(const auto head, client_.head(blob_name(key, sha256)));
        return head && head->content == SharedContent::name_of(sha256);
      },
      stopped));
  or_throw(abort_old_uploads(stopped));
}

}  // namespace agentrouter::blobs
