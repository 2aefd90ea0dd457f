#include "blobs/s3/s3_client.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/hash.h"

namespace agentrouter::blobs {

namespace {

using base::Code;

constexpr std::string_view content_field = "x-amz-meta-agentrouter-content";
constexpr std::chrono::seconds longest_wish{30};  // of a store that says when to ask again

template <class Code_>
bool one_of(std::string_view code, const Code_& codes) {
  return std::ranges::find(codes, code) != std::end(codes);
}

constexpr std::string_view passing[] = {
    "SlowDown",           "RequestTimeout",      "InternalError",
    "ServiceUnavailable", "OperationAborted",    "ThrottlingException",
    "BadDigest",          "Throttling",          "XAmzContentSHA256Mismatch",
    "IncompleteBody",     "RequestLimitExceeded"};
constexpr std::string_view absent[] = {"NoSuchKey", "NoSuchUpload", "NotFound"};
constexpr std::string_view of_keys[] = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken",
                                        "InvalidToken", "TokenRefreshRequired"};

bool passes(int status, std::string_view code) {
  return status == 429 || status >= 500 || one_of(code, passing);
}

std::chrono::seconds wished_pause(const HttpAnswer& answer) {
  const auto text = answer.header("retry-after");
  int seconds = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size()) return {};
  return std::clamp(std::chrono::seconds(seconds), std::chrono::seconds(0), longest_wish);
}

std::int64_t length_of(const HttpAnswer& answer) {
  const auto text = answer.header("content-length");
  std::int64_t size = 0;
  std::from_chars(text.data(), text.data() + text.size(), size);
  return size;
}

S3Body body_of(std::string bytes) {
  auto digest = base::Sha256::hex_of(bytes);
  return {std::move(bytes), {}, std::move(digest)};
}

tl::unexpected<base::Error> storage_failed(Code code, std::string message) {
  return base::fail(code, std::move(message), "storage_failed");
}

}  // namespace

S3Client::S3Client(Needs needs) : needs_(std::move(needs)), transport_(needs_.limits, needs_.ca_file) {}

Pairs S3Client::encryption() const {
  Pairs headers;
  if (!needs_.place.sse.empty()) headers.emplace_back("x-amz-server-side-encryption", needs_.place.sse);
  if (!needs_.place.sse_kms_key_id.empty())
    headers.emplace_back("x-amz-server-side-encryption-aws-kms-key-id", needs_.place.sse_kms_key_id);
  return headers;
}

SignedRequest S3Client::unsigned_request(const Call& call) const {
  const auto& place = needs_.place;
  SignedRequest request;
  request.method = call.method;
  request.host = place.path_style ? place.host : place.bucket + "." + place.host;
  request.path = place.path_style ? "/" + place.bucket : "";
  if (!call.name.empty()) request.path += "/" + place.prefix + call.name;
  if (request.path.empty()) request.path = "/";
  request.query = call.query;
  request.headers = call.headers;
  request.payload_sha256 = call.body == nullptr ? std::string(empty_sha256) : call.body->sha256;
  return request;
}

std::string S3Client::url_of(const SignedRequest& request) const {
  auto url = needs_.place.scheme + "://" + request.host + escape_path(request.path);
  if (!request.query.empty()) url += "?" + escape_query(request.query);
  return url;
}

base::Result<HttpAnswer> S3Client::once(const Call& call, const Credentials& keys) {
  const auto request = unsigned_request(call);
  const SigningScope scope{needs_.place.region, call.dated.value_or(needs_.clock.now())};
  HttpRequest http{.method = call.method,
                   .url = url_of(request),
                   .headers = sign(request, keys, scope),
                   .body = {},
                   .file = {},
                   .sink = call.sink};
  if (call.body != nullptr) {
    http.body = call.body->bytes;
    http.file = call.body->file;
  }
  if (call.begin) call.begin();
  auto answer = transport_.perform(http);
  if (answer) note_time(*answer);
  return answer;
}

void S3Client::note_time(const HttpAnswer& answer) {
  const auto said = parse_http_date(answer.header("date"));
  if (!said) return;
  const std::lock_guard lock(mutex_);
  ahead_ = *said - needs_.clock.now();
}

base::Time S3Client::store_time() {
  const std::lock_guard lock(mutex_);
  return needs_.clock.now() + ahead_.value_or(std::chrono::milliseconds(0));
}

std::string S3Client::explain(const Call& call, const S3Error& error, const HttpAnswer& answer) const {
  const auto& place = needs_.place;
  const auto what = call.method + " " + (call.name.empty() ? "bucket " + place.bucket : call.name);
  auto text = "the blob store refuses " + what + ": " + std::to_string(answer.status) + " " + error.code;
  if (!error.message.empty()) text += " (" + error.message + ")";
  const auto region = error.region.empty() ? std::string(answer.header("x-amz-bucket-region")) : error.region;
  if (error.code == "RequestTimeTooSkewed") {
    const auto said = parse_http_date(answer.header("date"));
    const auto apart =
        said ? std::chrono::duration_cast<std::chrono::seconds>(needs_.clock.now() - *said).count() : 0;
    text += ": this machine's clock is " + std::to_string(apart < 0 ? -apart : apart) + " s " +
            (apart < 0 ? "behind" : "ahead of") + " the store's; set the clock";
  } else if (error.code == "NoSuchBucket") {
    text += ": make the bucket, or correct blobs.url";
  } else if (!region.empty() && region != place.region) {
    text += ": the bucket is in region " + region + "; set blobs.region";
  } else if (one_of(error.code, of_keys)) {
    text += ": look at blobs.access_key_file and blobs.secret_key_file, or the AWS_ variables";
  } else if (answer.status == 403) {
    text += ": these keys must be allowed to put, get, list and delete under " + place.bucket + "/" +
            place.prefix;
  } else if (answer.status >= 300 && answer.status < 400) {
    text += ": it points elsewhere; set blobs.endpoint and blobs.region to where the bucket is";
  }
  return text;
}

S3Client::Judged S3Client::judge_refusal(const Call& call, const HttpAnswer& answer) const {
  // A HEAD has no document, and what stands before a store has none of this kind.
  auto error = parse_s3_error(answer.body).value_or(S3Error{});
  if (error.code.empty() && answer.status == 404) error.code = "NotFound";
  if (error.code.empty())
    error.code = answer.body.empty() ? "without a reason" : "with an answer that is none of S3";
  Judged judged{.error = {Code::unavailable, explain(call, error, answer), "storage_failed"},
                .code = error.code};
  judged.after = wished_pause(answer);
  if (error.code == "NotImplemented") {
    judged.error.code = Code::unsupported;
  } else if (answer.status == 404 && one_of(error.code, absent)) {
    judged.error.code = Code::not_found;
  } else if (passes(answer.status, error.code)) {
    judged.again = true;
  } else if (answer.status < 500) {
    judged.error.code = Code::denied;
  }
  return judged;
}

std::optional<S3Client::Judged> S3Client::judge(const Call& call,
                                                const base::Result<HttpAnswer>& answer) const {
  if (!answer) {
    auto error = answer.error();
    error.message = "cannot reach the blob store: " + error.message;
    error.reason = "storage_failed";
    return Judged{.error = std::move(error), .again = answer.error().code == Code::unavailable, .code = {}};
  }
  if (answer->status >= 200 && answer->status < 300) return std::nullopt;
  return judge_refusal(call, *answer);
}

std::chrono::milliseconds S3Client::backoff(int attempt) {
  const auto most = std::min(needs_.retries.longest, needs_.retries.first * (1 << std::min(attempt - 1, 10)));
  std::array<std::uint8_t, 4> bytes{};
  needs_.entropy.fill(bytes);
  const auto random = static_cast<std::int64_t>(bytes[0] | bytes[1] << 8 | bytes[2] << 16);
  return std::chrono::milliseconds(most.count() * random >> 24);
}

// False: the client was stopped.
bool S3Client::pause(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return !stopping_.wait_for(lock, time, [this] { return transport_.stopped(); });
}

void S3Client::stop() {
  {
    const std::lock_guard lock(mutex_);
    transport_.stop();
  }
  stopping_.notify_all();
}

base::Result<HttpAnswer> S3Client::call(const Call& call) {
  const auto last_begin = base::SteadyClock::now() + needs_.retries.within;
  bool other_keys = false;
  for (int attempt = 1;; ++attempt) {
    const auto keys = needs_.keys.current();
    auto answer = once(call, keys);
    auto judged = judge(call, answer);
    if (!judged) return answer;
    // Keys may have been replaced between reading and asking.
    if (!other_keys && one_of(judged->code, of_keys) && needs_.keys.current().secret_key != keys.secret_key) {
      other_keys = true;
      continue;
    }
    const auto time = std::max<std::chrono::milliseconds>(backoff(attempt), judged->after);
    const bool late = base::SteadyClock::now() + time > last_begin;
    if (!judged->again || attempt >= needs_.retries.attempts || late)
      return tl::unexpected(std::move(judged->error));
    if (!pause(time))
      return storage_failed(Code::cancelled, judged->error.message + "; the server is stopping");
  }
}

base::Result<void> S3Client::put(const std::string& name, const S3Body& body, const std::string& content) {
  Call request{.method = "PUT", .name = name, .headers = encryption(), .body = &body};
  if (!content.empty()) request.headers.emplace_back(content_field, content);
  request.headers.emplace_back("content-type", "application/octet-stream");
  return call(request).map([](const HttpAnswer&) {});
}

base::Result<std::optional<S3Head>> S3Client::head(const std::string& name) {
  const auto answer = call({.method = "HEAD", .name = name});
  if (!answer && answer.error().code == Code::not_found) return std::optional<S3Head>();
  if (!answer) return tl::unexpected(answer.error());
  return S3Head{length_of(*answer), std::string(answer->header(content_field))};
}

base::Result<std::optional<S3Head>> S3Client::get(const std::string& name, const std::function<void()>& begin,
                                                  const std::function<void(std::string_view)>& sink) {
  const auto answer = call({.method = "GET", .name = name, .begin = begin, .sink = sink});
  if (!answer && answer.error().code == Code::not_found) return std::optional<S3Head>();
  if (!answer) return tl::unexpected(answer.error());
  return S3Head{length_of(*answer), std::string(answer->header(content_field))};
}

base::Result<void> S3Client::remove(const std::string& name, std::optional<base::Time> dated) {
  const auto answer = call({.method = "DELETE", .name = name, .dated = dated});
  if (!answer && answer.error().code != Code::not_found) return tl::unexpected(answer.error());
  return {};
}

base::Result<S3Listing> S3Client::list(const std::string& prefix, const std::string& token, int most) {
  Pairs query{
      {"list-type", "2"}, {"prefix", needs_.place.prefix + prefix}, {"max-keys", std::to_string(most)}};
  if (!token.empty()) query.emplace_back("continuation-token", token);
  AGENTROUTER_TRY(const auto answer, call({.method = "GET", .name = "", .query = query}));
  auto listing = parse_listing(answer.body);
  if (!listing) return storage_failed(Code::invalid, listing.error().message);
  for (auto& object : listing->objects) {
    if (!object.key.starts_with(needs_.place.prefix))
      return storage_failed(Code::invalid, "the blob store lists what was not asked for: " + object.key);
    object.key.erase(0, needs_.place.prefix.size());
  }
  return listing;
}

base::Result<std::string> S3Client::begin_upload(const std::string& name) {
  Call request{.method = "POST", .name = name, .query = {{"uploads", ""}}, .headers = encryption()};
  request.headers.emplace_back("content-type", "application/octet-stream");
  AGENTROUTER_TRY(const auto answer, call(request));
  auto id = parse_upload_id(answer.body);
  if (!id) return storage_failed(Code::invalid, id.error().message);
  return id;
}

base::Result<std::string> S3Client::put_part(const std::string& name, const std::string& upload, int number,
                                             const S3Body& part) {
  const Pairs query{{"partNumber", std::to_string(number)}, {"uploadId", upload}};
  AGENTROUTER_TRY(const auto answer, call({.method = "PUT", .name = name, .query = query, .body = &part}));
  const auto tag = answer.header("etag");
  if (tag.empty()) return storage_failed(Code::invalid, "the blob store gives no tag for a part of " + name);
  return std::string(tag);
}

base::Result<void> S3Client::complete_upload(const std::string& name, const std::string& upload,
                                             const std::vector<std::string>& tags) {
  std::string xml = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (std::size_t i = 0; i < tags.size(); ++i)
    xml += "<Part><PartNumber>" + std::to_string(i + 1) + "</PartNumber><ETag>" + xml_text(tags[i]) +
           "</ETag></Part>";
  const auto body = body_of(xml + "</CompleteMultipartUpload>");
  Call request{.method = "POST",
               .name = name,
               .query = {{"uploadId", upload}},
               .headers = {{"content-type", "application/xml"}},
               .body = &body};
  for (int attempt = 1;; ++attempt) {
    AGENTROUTER_TRY(const auto answer, call(request));
    const auto failed = parse_completion(answer.body);
    if (!failed) return storage_failed(Code::invalid, failed.error().message);
    if (!*failed) return {};
    const bool again = one_of((*failed)->code, passing) && attempt < needs_.retries.attempts;
    if (!again || !pause(backoff(attempt)))
      return storage_failed(Code::unavailable, "the blob store does not complete " + name + ": " +
                                                   (*failed)->code + " " + (*failed)->message);
  }
}

base::Result<void> S3Client::abort_upload(const std::string& name, const std::string& upload) {
  const auto answer = call({.method = "DELETE", .name = name, .query = {{"uploadId", upload}}});
  if (!answer && answer.error().code != Code::not_found) return tl::unexpected(answer.error());
  return {};
}

base::Result<S3Uploads> S3Client::uploads(const S3Uploads& after) {
  Pairs query{{"uploads", ""}, {"prefix", needs_.place.prefix}};
  if (!after.next_key.empty()) query.emplace_back("key-marker", after.next_key);
  if (!after.next_id.empty()) query.emplace_back("upload-id-marker", after.next_id);
  AGENTROUTER_TRY(const auto answer, call({.method = "GET", .name = "", .query = query}));
  auto found = parse_uploads(answer.body);
  if (!found) return storage_failed(Code::invalid, found.error().message);
  std::erase_if(found->uploads,
                [this](const S3Upload& one) { return !one.key.starts_with(needs_.place.prefix); });
  for (auto& one : found->uploads) one.key.erase(0, needs_.place.prefix.size());
  return found;
}

std::string S3Client::link(const std::string& name, std::chrono::seconds lifetime, Pairs query) {
  auto request = unsigned_request({.method = "GET", .name = name, .query = std::move(query)});
  const auto signed_query =
      presign(request, needs_.keys.current(), {needs_.place.region, needs_.clock.now()}, lifetime);
  request.query.clear();
  return url_of(request) + "?" + signed_query;
}

}  // namespace agentrouter::blobs
