#pragma once
// The calls of an S3 store, each a signed request that is repeated while that can help: no connection, 429,
// 5xx, SlowDown, a body that was cut; with full jitter, for some seconds and no longer. All calls block and
// are safe from any thread. Names are relative to the prefix.
//
// Errors of every call, all with reason storage_failed:
//   unavailable  the store cannot be reached or does not work: it may do so later
//   denied       what a person has to put right: keys, region, bucket, clock, certificate; the message says
//   which cancelled    after stop() invalid      the store's answer cannot be read unsupported  the store
//   does not know this call

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/id.h"
#include "base/steady_clock.h"
#include "blobs/s3/credentials.h"
#include "blobs/s3/s3_answer.h"
#include "blobs/s3/transport.h"

namespace agentrouter::blobs {

struct S3Place {
  std::string scheme = "https";
  std::string host;  // with the port unless it is the scheme's own
  bool path_style = false;
  std::string bucket;
  std::string prefix;  // empty, or ends with "/"
  std::string region = "us-east-1";
  std::string sse;  // empty, "AES256" or "aws:kms"
  std::string sse_kms_key_id;
};

struct S3Retries {
  int attempts = 6;
  std::chrono::milliseconds first{100};  // the longest first pause; it doubles
  std::chrono::milliseconds longest{5'000};
  std::chrono::seconds within{20};  // nothing is begun again later than this
};

// A body and its digest.
struct S3Body {
  std::string bytes;
  std::optional<FileRange> file;  // instead of bytes
  std::string sha256;
};

struct S3Head {
  std::int64_t size = 0;
  std::string content;  // our own metadata: where the bytes are; empty: here
};

class S3Client {
 public:
  struct Needs {
    S3Place place;
    TransportLimits limits;
    S3Retries retries;
    std::string ca_file;
    CredentialSource& keys;  // outlives the client
    const base::Clock& clock;
    base::Entropy& entropy;
  };
  explicit S3Client(Needs needs);

  template <class T>
  using Result = base::Result<T>;

  // `content`: of S3Head; empty for none.
  [[nodiscard]] Result<void> put(const std::string& name, const S3Body& body,
                                 const std::string& content = {});
  // Nothing: there is none.
  [[nodiscard]] Result<std::optional<S3Head>> head(const std::string& name);
  // Gives the bytes to `sink` as they come; `begin` is called before the first one and again whenever they
  // begin anew. When S3Head::content says that they are elsewhere there are none. Nothing: there is no such
  // object.
  [[nodiscard]] Result<std::optional<S3Head>> get(const std::string& name, const std::function<void()>& begin,
                                                  const std::function<void(std::string_view)>& sink);
  // Fine when there is none. `dated`: the request is good only for the minutes around that time, whenever it
  // arrives.
  [[nodiscard]] Result<void> remove(const std::string& name, std::optional<base::Time> dated = {});
  // Names as they are here, without our prefix; at most `most` of them, a thousand at most.
  [[nodiscard]] Result<S3Listing> list(const std::string& prefix, const std::string& token = {},
                                       int most = 1000);

  [[nodiscard]] Result<std::string> begin_upload(const std::string& name);
  // The part's tag. Numbers begin with 1.
  [[nodiscard]] Result<std::string> put_part(const std::string& name, const std::string& upload, int number,
                                             const S3Body& part);
  // Errors: also not_found: the store has no such upload (any more).
  [[nodiscard]] Result<void> complete_upload(const std::string& name, const std::string& upload,
                                             const std::vector<std::string>& tags);
  [[nodiscard]] Result<void> abort_upload(const std::string& name, const std::string& upload);
  [[nodiscard]] Result<S3Uploads> uploads(const S3Uploads& after = {});

  // A URL by which anybody may GET the object for so long.
  [[nodiscard]] std::string link(const std::string& name, std::chrono::seconds lifetime, Pairs query);

  // What the store's clock said last; ours before it said anything.
  [[nodiscard]] base::Time store_time();
  [[nodiscard]] base::Time now() const { return needs_.clock.now(); }
  void stop();

 private:
  struct Call {
    std::string method;
    std::string name;  // empty: the bucket itself
    Pairs query = {};
    Pairs headers = {};
    const S3Body* body = nullptr;
    std::function<void()> begin = {};
    std::function<void(std::string_view)> sink = {};
    std::optional<base::Time> dated = {};
  };
  struct Judged {
    base::Error error;
    bool again = false;
    std::string code;  // the store's
    std::chrono::seconds after{0};
  };

  Result<HttpAnswer> call(const Call& call);
  Result<HttpAnswer> once(const Call& call, const Credentials& keys);
  std::optional<Judged> judge(const Call& call, const Result<HttpAnswer>& answer) const;
  Judged judge_refusal(const Call& call, const HttpAnswer& answer) const;
  [[nodiscard]] std::string explain(const Call& call, const S3Error& error, const HttpAnswer& answer) const;
  [[nodiscard]] SignedRequest unsigned_request(const Call& call) const;
  [[nodiscard]] std::string url_of(const SignedRequest& request) const;
  void note_time(const HttpAnswer& answer);
  bool pause(std::chrono::milliseconds time);
  std::chrono::milliseconds backoff(int attempt);
  Pairs encryption() const;

  Needs needs_;
  Transport transport_;
  std::mutex mutex_;
  std::condition_variable stopping_;
  std::optional<std::chrono::milliseconds> ahead_;  // guarded by mutex_: the store's clock of ours
};

}  // namespace agentrouter::blobs
