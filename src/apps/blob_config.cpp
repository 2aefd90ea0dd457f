#include "apps/blob_config.h"

#include <toml++/toml.h>

#include <charconv>
#include <sstream>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "blobs/fs/fs_blobs.h"
#include "net/url.h"

namespace agentrouter::apps {

namespace {

using base::Code;
using base::fail;
using base::Result;

constexpr std::int64_t mebibyte = 1ll << 20;
constexpr const char* elsewhere_name = "blobs_at";

struct BlobText {
  std::string_view key;
  std::string BlobConfig::* member;
};

constexpr BlobText blob_texts[] = {{"blobs.url", &BlobConfig::url},
                                   {"blobs.endpoint", &BlobConfig::endpoint},
                                   {"blobs.ca_file", &BlobConfig::ca_file}};

struct BlobNumber {
  std::string_view key;
  std::int64_t least;
  std::int64_t most;
  std::function<std::int64_t(const blobs::S3Options&)> get;
  std::function<void(blobs::S3Options&, std::int64_t)> set;
};

const std::vector<BlobNumber>& blob_numbers() {
  using Options = blobs::S3Options;
  static const std::vector<BlobNumber> numbers{
      {"blobs.presign_seconds", 0, 604'800, [](const Options& o) { return o.presign.count(); },
       [](Options& o, std::int64_t n) { o.presign = std::chrono::seconds(n); }},
      {"blobs.cache_bytes", 0, 1ll << 50, [](const Options& o) { return o.cache_bytes; },
       [](Options& o, std::int64_t n) { o.cache_bytes = n; }},
      {"blobs.part_bytes", 5 * mebibyte, 1024 * mebibyte, [](const Options& o) { return o.part_bytes; },
       [](Options& o, std::int64_t n) { o.part_bytes = n; }},
      {"blobs.connect_timeout_ms", 100, 600'000,
       [](const Options& o) { return static_cast<std::int64_t>(o.limits.connect.count()); },
       [](Options& o, std::int64_t n) { o.limits.connect = std::chrono::milliseconds(n); }},
      {"blobs.idle_timeout_seconds", 1, 3600, [](const Options& o) { return o.limits.idle.count(); },
       [](Options& o, std::int64_t n) { o.limits.idle = std::chrono::seconds(n); }},
      {"blobs.request_timeout_seconds", 1, 86'400, [](const Options& o) { return o.limits.total.count(); },
       [](Options& o, std::int64_t n) { o.limits.total = std::chrono::seconds(n); }},
      {"blobs.retry_seconds", 0, 3600, [](const Options& o) { return o.retries.within.count(); },
       [](Options& o, std::int64_t n) { o.retries.within = std::chrono::seconds(n); }}};
  return numbers;
}

Result<void> wanted(const std::string& key, const std::string& text, const std::string& want) {
  return fail(Code::invalid, key + " is \"" + text + "\": want " + want, "usage");
}

Result<void> set_number(BlobConfig& config, const BlobNumber& known, const std::string& text) {
  std::int64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size() ||
      value < known.least || value > known.most)
    return wanted(std::string(known.key), text,
                  "a whole number from " + std::to_string(known.least) + " to " + std::to_string(known.most));
  known.set(config.options, value);
  return {};
}

bool is_bucket(std::string_view name) {
  if (name.size() < 3 || name.size() > 63 || name.front() == '-' || name.front() == '.') return false;
  return name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-.") == std::string_view::npos;
}

bool is_prefix(std::string_view prefix) {
  if (prefix.size() > 100) return false;
  return prefix.empty() ||
         blobs::is_blob_key(prefix.substr(0, prefix.size() - (prefix.ends_with('/') ? 1 : 0)));
}

// "s3://BUCKET[/PREFIX]"
Result<void> settle_url(BlobConfig& config) {
  constexpr std::string_view scheme = "s3://";
  const std::string_view url = config.url;
  if (!url.starts_with(scheme))
    return wanted("blobs.url", config.url, "\"s3://BUCKET\" or \"s3://BUCKET/PREFIX\"");
  const auto rest = url.substr(scheme.size());
  const auto slash = rest.find('/');
  auto& place = config.options.place;
  place.bucket = rest.substr(0, slash);
  place.prefix = slash == std::string_view::npos ? "" : rest.substr(slash + 1);
  if (!is_bucket(place.bucket) || !is_prefix(place.prefix))
    return wanted(
        "blobs.url", config.url,
        "\"s3://BUCKET/PREFIX\", the bucket in lower case, the prefix in parts that do not begin with a dot");
  if (!place.prefix.empty() && !place.prefix.ends_with('/')) place.prefix += '/';
  return {};
}

Result<void> settle_endpoint(BlobConfig& config) {
  auto& place = config.options.place;
  place.path_style = config.path_style.value_or(!config.endpoint.empty());
  if (config.endpoint.empty()) {
    place.scheme = "https";
    place.host = "s3." + place.region + ".amazonaws.com";
  } else {
    const auto url = net::parse_url(config.endpoint);
    if (!url || url->path != "/" || !url->query.empty())
      return wanted("blobs.endpoint", config.endpoint, "\"https://HOST\" or \"http://HOST:PORT\"");
    place.scheme = url->scheme == net::Scheme::https ? "https" : "http";
    place.host = url->authority();
  }
  if (!place.path_style && place.host.starts_with('['))
    return fail(Code::invalid,
                "blobs.path_style is false and blobs.endpoint an address: a bucket cannot stand before it",
                "usage");
  return {};
}

Result<void> settle_keys(BlobConfig& config, const Environment& environment) {
  auto& files = config.files;
  if (files.access_key.empty() != files.secret_key.empty())
    return fail(Code::invalid,
                "blobs.access_key_file and blobs.secret_key_file belong together: want both or none",
                "usage");
  if (!files.access_key.empty()) {
    auto read = blobs::CredentialSource::from_files(files);
    if (!read) return fail(Code::invalid, "blobs: " + read.error().message, "usage");
    config.first = (*read)->current();
    return {};
  }
  const auto access = environment.secret("AWS_ACCESS_KEY_ID");
  const auto secret = environment.secret("AWS_SECRET_ACCESS_KEY");
  if (!access || !secret)
    return fail(Code::invalid,
                "blobs.url is set and there are no keys for it: want blobs.access_key_file and "
                "blobs.secret_key_file, or "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                "usage");
  config.keys = blobs::Credentials{*access, *secret, environment.secret("AWS_SESSION_TOKEN").value_or("")};
  config.first = *config.keys;
  return {};
}

std::string quoted_value(const std::string& text) {
  std::ostringstream out;
  out << toml::value<std::string>(text);
  return out.str();
}

}  // namespace

bool is_blob_setting(const std::string& key) {
  return key.starts_with("blobs.");
}

Result<void> set_blob_value(BlobConfig& config, const std::string& key, const std::string& text) {
  for (const auto& known : blob_texts) {
    if (known.key != key) continue;
    config.*known.member = text;
    return {};
  }
  for (const auto& known : blob_numbers()) {
    if (known.key == key) return set_number(config, known, text);
  }
  auto& place = config.options.place;
  if (key == "blobs.access_key_file") {
    config.files.access_key = text;
  } else if (key == "blobs.secret_key_file") {
    config.files.secret_key = text;
  } else if (key == "blobs.session_token_file") {
    config.files.session_token = text;
  } else if (key == "blobs.sse_kms_key_id") {
    place.sse_kms_key_id = text;
  } else if (key == "blobs.region") {
    if (text.empty() || text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos)
      return wanted(key, text, "the name of a region, as \"eu-central-1\"");
    place.region = text;
  } else if (key == "blobs.sse") {
    if (!text.empty() && text != "AES256" && text != "aws:kms") return wanted(key, text, "AES256 or aws:kms");
    place.sse = text;
  } else if (key == "blobs.path_style") {
    if (text != "true" && text != "false") return wanted(key, text, "true or false");
    config.path_style = text == "true";
  } else {
    return fail(Code::invalid, "unknown key \"" + key + "\"", "usage");
  }
  return {};
}

Result<void> settle_blobs(BlobConfig& config, const Environment& environment) {
  if (const auto url = environment.get("AGENTROUTER_BLOBS_URL")) config.url = *url;
  if (const auto endpoint = environment.get("AGENTROUTER_BLOBS_ENDPOINT")) config.endpoint = *endpoint;
  if (!config.is_s3()) {
    if (!config.endpoint.empty() || !config.files.access_key.empty())
      return fail(Code::invalid,
                  "blobs.endpoint or blobs.access_key_file is set without blobs.url: want \"s3://BUCKET\"",
                  "usage");
    return {};
  }
  config.options.ca_file = config.ca_file;
  auto& place = config.options.place;
  if (!place.sse_kms_key_id.empty() && place.sse != "aws:kms")
    return fail(Code::invalid, "blobs.sse_kms_key_id is set and blobs.sse is not \"aws:kms\"", "usage");
  if (const auto region = environment.get("AWS_REGION"); region && place.region == blobs::S3Place{}.region) {
    if (auto done = set_blob_value(config, "blobs.region", *region); !done) return done;
  }
  if (auto done = settle_url(config); !done) return done;
  if (auto done = settle_endpoint(config); !done) return done;
  return settle_keys(config, environment);
}

std::string print_blobs(const BlobConfig& config) {
  std::ostringstream out;
  const auto& place = config.options.place;
  out << "\n[blobs]\n";
  for (const auto& known : blob_texts)
    out << known.key.substr(known.key.find('.') + 1) << " = " << quoted_value(config.*known.member) << "\n";
  out << "region = " << quoted_value(place.region) << "\nsse = " << quoted_value(place.sse)
      << "\nsse_kms_key_id = " << quoted_value(place.sse_kms_key_id)
      << "\naccess_key_file = " << quoted_value(config.files.access_key)
      << "\nsecret_key_file = " << quoted_value(config.files.secret_key)
      << "\nsession_token_file = " << quoted_value(config.files.session_token) << "\n";
  if (config.path_style) out << "path_style = " << (*config.path_style ? "true" : "false") << "\n";
  for (const auto& known : blob_numbers())
    out << known.key.substr(known.key.find('.') + 1) << " = " << known.get(config.options) << "\n";
  out << "# keys of the environment: " << (config.keys ? "[REDACTED]" : "not used") << "\n";
  return out.str();
}

Result<std::unique_ptr<blobs::S3Blobs>> open_s3_blobs(const BlobConfig& config,
                                                      const std::filesystem::path& cache,
                                                      const OnBlobKeys& told) {
  auto keys = config.keys ? std::make_unique<blobs::CredentialSource>(*config.keys) : nullptr;
  if (!keys) {
    AGENTROUTER_TRY(keys, blobs::CredentialSource::from_files(config.files));
  }
  if (told) keys->on_change(told);
  return blobs::S3Blobs::open(config.options, std::move(keys), cache, base::system_clock(),
                              base::system_entropy());
}

std::string blobs_elsewhere(const std::filesystem::path& data) {
  const auto text = base::read_file(data / elsewhere_name, 4096);
  return text ? text->substr(0, text->find('\n')) : std::string();
}

Result<void> note_blobs_elsewhere(const BlobConfig& config, const std::filesystem::path& data) {
  const auto before = blobs_elsewhere(data);
  if (!before.empty() && before != config.url)
    return fail(Code::conflict,
                "the artifacts of this data folder are in " + before + " and blobs.url is \"" + config.url +
                    "\": set it back, or remove " + (data / elsewhere_name).string() +
                    " to go on without them",
                "blobs_elsewhere");
  if (!before.empty() || !config.is_s3()) return {};
  return base::write_file_durably(data / elsewhere_name, config.url + "\n");
}

Result<std::unique_ptr<blobs::BlobStore>> open_blobs(const BlobConfig& config,
                                                     const std::filesystem::path& data,
                                                     const OnBlobKeys& told) {
  std::error_code error;
  if (config.is_s3() && blobs_elsewhere(data).empty() && std::filesystem::exists(data / "blobs/runs", error))
    return fail(Code::conflict,
                "the artifacts of this data folder are in it and blobs.url is \"" + config.url +
                    "\": put them there first (agentrouter upload-blobs), or remove " +
                    (data / "blobs/runs").string(),
                "blobs_here");
  if (auto noted = note_blobs_elsewhere(config, data); !noted) return tl::unexpected(noted.error());
  if (!config.is_s3()) return blobs::open_fs_blobs(data / "blobs");
  AGENTROUTER_TRY(auto store, open_s3_blobs(config, data / "blob_cache", told));
  const auto works = store->check();
  if (!works && works.error().code == Code::denied) return tl::unexpected(works.error());
  if (!works) {
    base::log(base::LogLevel::error, "the blob store does not work now; runs end when it does",
              {{"url", config.url}, {"cause", works.error().message}});
  }
  return std::unique_ptr<blobs::BlobStore>(std::move(store));
}

}  // namespace agentrouter::apps
