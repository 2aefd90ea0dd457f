#include "blobs/s3/shared_content.h"

#include <array>

#include "base/hash.h"

namespace agentrouter::blobs {

namespace {

using base::Result;
using namespace std::chrono_literals;

constexpr auto doom_lasts = 1h;          // a signature: a quarter of one
constexpr auto removal_patience = 5min;  // between a doom and the last request
constexpr auto use_matures = 24h;
constexpr auto use_is_known = 24h * 8;
constexpr auto longest_upload = 12h;
constexpr std::size_t hex_digits_of_digest = 64;

const S3Body nothing{{}, {}, std::string(empty_sha256)};

std::string use_of(const std::string& sha256, const std::string& key) {
  return "uses/" + sha256 + "/" + key;
}

}  // namespace

std::string SharedContent::name_of(std::string_view sha256) {
  return "sha256/" + std::string(sha256.substr(0, 2)) + "/" + std::string(sha256.substr(2));
}

std::string SharedContent::random() const {
  std::array<std::uint8_t, 12> bytes{};
  entropy_.fill(bytes);
  return base::to_hex(bytes.data(), bytes.size());
}

Result<bool> SharedContent::any(const std::string& prefix) {
  AGENTROUTER_TRY(const auto listing, client_.list(prefix, {}, 1));
  return !listing.objects.empty();
}

Result<std::string> SharedContent::take(const BlobInfo& bytes, const std::string& key, const Upload& upload) {
  const auto& sha256 = bytes.sha256;
  const auto begun = base::SteadyClock::now();
  const auto use = use_of(sha256, key);
  auto name = name_of(sha256);
  if (auto done = client_.put(use, nothing); !done) return tl::unexpected(done.error());
  AGENTROUTER_TRY(const bool doomed, any("dooms/" + sha256 + "/"));
  if (doomed) {
    // Who is removing may have seen our use and left the bytes to us: it is taken back as every other one.
    if (auto done = drop(name, sha256, key); !done) return tl::unexpected(done.error());
    name += "-" + random();
    if (auto done = upload(name); !done) return tl::unexpected(done.error());
    return name;
  }
  AGENTROUTER_TRY(const auto there, client_.head(name));
  if (!there || there->size != bytes.size) {
    if (auto done = upload(name); !done) return tl::unexpected(done.error());
  }
  // Beyond that the use may be taken for one that was left behind.
  if (base::SteadyClock::now() - begun > longest_upload)
    return base::fail(base::Code::unavailable, "storing " + key + " took longer than 12 hours",
                      "storage_failed");
  return name;
}

Result<void> SharedContent::drop(const std::string& name, const std::string& sha256, const std::string& key) {
  if (name != name_of(sha256)) return client_.remove(name);  // nobody else's
  const auto dated = client_.now();
  const auto begun = base::SteadyClock::now();
  const auto doom = "dooms/" + sha256 + "/" + random();
  if (auto done = client_.put(doom, nothing); !done) return done;
  if (auto done = client_.remove(use_of(sha256, key)); !done) return done;
  AGENTROUTER_TRY(const bool used, any("uses/" + sha256 + "/"));
  if (!used) {
    if (base::SteadyClock::now() - begun > removal_patience)
      return base::fail(base::Code::unavailable,
                        "removing " + key + " took too long to be sure; it is repeated", "storage_failed");
    if (auto done = client_.remove(name, dated); !done) return done;
  }
  return client_.remove(doom);
}

template <class Each>
Result<void> SharedContent::for_each(const std::string& prefix, const std::atomic<bool>& stopped,
                                     const Each& each) {
  std::string token;
  do {
    AGENTROUTER_TRY(const auto page, client_.list(prefix, token));
    for (const auto& object : page.objects) {
      if (stopped) return {};
      if (auto done = each(object); !done) return done;
    }
    token = page.next;
  } while (!token.empty());
  return {};
}

Result<void> SharedContent::sweep_dooms(const std::atomic<bool>& stopped) {
  return for_each("dooms/", stopped, [this](const S3Object& doom) -> Result<void> {
    if (client_.store_time() - doom.changed < doom_lasts) return {};
    return client_.remove(doom.key);
  });
}

Result<void> SharedContent::sweep_use(const S3Object& use, const Names& names) {
  const auto age = client_.store_time() - use.changed;
  const auto rest = std::string_view(use.key).substr(std::string_view("uses/").size());
  if (age < use_matures || age > use_is_known || rest.size() < hex_digits_of_digest + 2) return {};
  const std::string sha256(rest.substr(0, hex_digits_of_digest));
  const std::string key(rest.substr(hex_digits_of_digest + 1));
  AGENTROUTER_TRY(const bool named, names(key, sha256));
  if (named) return {};
  return drop(name_of(sha256), sha256, key);
}

Result<void> SharedContent::sweep(const Names& names, const std::atomic<bool>& stopped) {
  if (auto done = sweep_dooms(stopped); !done) return done;
  return for_each("uses/", stopped, [this, &names](const S3Object& use) { return sweep_use(use, names); });
}

}  // namespace agentrouter::blobs
