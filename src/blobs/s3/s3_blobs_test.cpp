#include "blobs/s3/s3_blobs.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "base/hash.h"
#include "blobs/s3/s3_place_test.h"
#include "testing/manual_clock.h"
#include "testing/temp_dir.h"

namespace agentrouter::blobs {

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class S3BlobsTest : public ::testing::Test {
 protected:
  void SetUp() override { open(); }
  void open() { blobs_ = open_on(options_, folder_ / "cache" / std::to_string(next_++)); }
  // Another machine's store.
  std::unique_ptr<S3Blobs> another() {
    return open_on(options_, folder_ / "cache" / std::to_string(next_++));
  }
  static std::string large(char seed = 'x', std::size_t size = 100'000) { return std::string(size, seed); }
  static std::string read(S3Blobs& store, std::string_view key, std::string_view text) {
    auto blob = store.open(key, base::Sha256::hex_of(text));
    return blob ? base::value_or_throw(base::read_all(blob->fd.get(), 64 << 20)) : blob.error().message;
  }
  template <class Call>
  static base::Error error_of(Call call) {
    try {
      call();
    } catch (const base::Failure& failure) {
      return failure.error();
    }
    return {};
  }
  static std::string name_of(std::string_view text) {
    return "test/" + SharedContent::name_of(base::Sha256::hex_of(text));
  }

  testing::TempDir folder_;
  S3Server server_;
  S3Options options_ = options_for(server_);
  int next_ = 0;
  std::unique_ptr<S3Blobs> blobs_;
};

TEST_F(S3BlobsTest, AFewBytesAreOneObjectAndOneRequest) {
  blobs_->put("runs/r/a", "few");
  EXPECT_THAT(server_.objects(), ElementsAre("test/keys/runs/r/a/" + base::Sha256::hex_of("few")));
  EXPECT_THAT(server_.state().at("requests").as_array(), SizeIs(1));
}

TEST_F(S3BlobsTest, LargeBlobsWithTheSameBytesAreStoredOnce) {
  for (const auto* key : {"r/one", "r/two", "s/three"}) another()->put(key, large());
  EXPECT_THAT(server_.objects("test/sha256/"), ElementsAre(name_of(large())));
  EXPECT_EQ(server_.count("PUT", "/sha256/"), 1u);
  for (const auto* key : {"r/one", "r/two"}) blobs_->remove(key);
  EXPECT_EQ(read(*another(), "s/three", large()), large());
  blobs_->remove("s/three");
  EXPECT_THAT(server_.objects(), IsEmpty());
}

TEST_F(S3BlobsTest, WhatWasWrittenOrReadHereIsReadAgainWithoutTheStore) {
  blobs_->put("a", large());
  auto other = another();
  EXPECT_EQ(read(*other, "a", large()), large());
  server_.control({{"down", true}});
  EXPECT_EQ(read(*blobs_, "a", large()), large());
  EXPECT_EQ(read(*other, "a", large()), large());
}

TEST_F(S3BlobsTest, AMachineThatSleptReplacesNothing) {
  auto slow = another();
  auto writer = slow->create("runs/r/manifest");
  writer->write("what the older attempt thinks");
  blobs_->put("runs/r/manifest", "what the newer one has recorded");
  writer->commit();
  EXPECT_EQ(read(*another(), "runs/r/manifest", "what the newer one has recorded"),
            "what the newer one has recorded");
  blobs_->remove("runs/r/manifest");
  EXPECT_THAT(server_.objects(), IsEmpty());
}

TEST_F(S3BlobsTest, AWriterThatMeetsARemovalKeepsBytesOfItsOwn) {
  blobs_->put("old", large());
  // Somebody has doomed the bytes and not come to its end.
  CredentialSource keys(Credentials{"AKIDTEST", "test/secret+key0123456789", ""});
  S3Client client({.place = options_.place,
                   .limits = {},
                   .retries = options_.retries,
                   .ca_file = {},
                   .keys = keys,
                   .clock = base::system_clock(),
                   .entropy = base::system_entropy()});
  const auto digest = base::Sha256::hex_of(large());
  ASSERT_TRUE(client.put("dooms/" + digest + "/abc", {{}, {}, std::string(empty_sha256)}));
  another()->put("new", large());
  EXPECT_THAT(server_.objects("test/sha256/"), SizeIs(2));
  EXPECT_THAT(server_.objects("test/uses/"), ElementsAre("test/uses/" + digest + "/old"));
  // However late the removal comes, it takes what it has doomed.
  ASSERT_TRUE(client.remove(SharedContent::name_of(digest)));
  EXPECT_EQ(read(*another(), "new", large()), large());
  another()->remove("new");
  EXPECT_THAT(server_.objects("test/sha256/"), IsEmpty());
}

TEST_F(S3BlobsTest, ARemovalIsNoGoodAfterTheQuarterOfAnHourOfItsSignature) {
  testing::ManualClock clock(base::system_clock().now());
  CredentialSource keys(Credentials{"AKIDTEST", "test/secret+key0123456789", ""});
  S3Client client({.place = options_.place,
                   .limits = {},
                   .retries = options_.retries,
                   .ca_file = {},
                   .keys = keys,
                   .clock = clock,
                   .entropy = base::system_entropy()});
  ASSERT_TRUE(client.put("a", {{}, {}, std::string(empty_sha256)}));
  const auto late = client.remove("a", clock.now() - std::chrono::minutes(16));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, base::Code::denied);
  EXPECT_THAT(server_.objects(), SizeIs(1));
}

TEST_F(S3BlobsTest, WhatDeadProcessesLeftIsSweptWhenItIsOldEnough) {
  blobs_->put("there", large('a'));
  // Killed before its blob was named.
  server_.fault({{"method", "PUT"},
                 {"match", "keys/half"},
                 {"do", "status"},
                 {"status", 403},
                 {"code", "AccessDenied"}});
  EXPECT_EQ(error_of([&] { blobs_->put("half", large('b')); }).reason, "storage_failed");
  // Killed within an upload, three times.
  server_.control({{"faults", json::array{{{"method", "PUT"},
                                           {"match", "partNumber"},
                                           {"times", 3},
                                           {"do", "status"},
                                           {"status", 403},
                                           {"code", "AccessDenied"}},
                                          {{"method", "DELETE"},
                                           {"match", "uploadId"},
                                           {"times", 3},
                                           {"do", "status"},
                                           {"status", 403},
                                           {"code", "AccessDenied"}}}}});
  for (const char seed : {'c', 'd', 'e'})
    EXPECT_EQ(error_of([&] { blobs_->put("big", large(seed, 11 << 20)); }).reason, "storage_failed");
  EXPECT_THAT(server_.state().at("uploads").as_array(), SizeIs(3));
  blobs_->sweep(false);
  EXPECT_THAT(server_.state().at("uploads").as_array(), SizeIs(3));
  EXPECT_THAT(server_.objects("test/uses/"), SizeIs(5));
  server_.control({{"age", {{"prefix", "uses/"}, {"seconds", 90'000}}}});
  server_.control({{"age", {{"prefix", "sha256/"}, {"seconds", 90'000}}}});
  another()->sweep(false);
  EXPECT_THAT(server_.state().at("uploads").as_array(), IsEmpty());
  EXPECT_THAT(server_.objects("test/uses/"), SizeIs(1));
  EXPECT_THAT(server_.objects("test/sha256/"), ElementsAre(name_of(large('a'))));
  EXPECT_THAT(server_.objects("test/dooms/"), IsEmpty());
  EXPECT_EQ(read(*another(), "there", large('a')), large('a'));
}

TEST_F(S3BlobsTest, ALargeBlobGoesInPartsAndComesBackWhole) {
  std::string text;
  for (int i = 0; text.size() < (12u << 20); ++i) text += std::to_string(i);
  const auto info = blobs_->put("big", text);
  EXPECT_EQ(info.sha256, base::Sha256::hex_of(text));
  EXPECT_EQ(server_.count("PUT", "partNumber"), 3u);
  EXPECT_EQ(read(*another(), "big", text), text);
}

TEST_F(S3BlobsTest, AnUploadThatFailsIsAborted) {
  server_.fault(
      {{"method", "PUT"}, {"match", "partNumber=2"}, {"times", 9}, {"do", "status"}, {"status", 500}});
  const auto error = error_of([&] { blobs_->put("big", large('x', 11 << 20)); });
  EXPECT_EQ(error.code, base::Code::unavailable);
  EXPECT_EQ(error.reason, "storage_failed");
  EXPECT_THAT(server_.state().at("uploads").as_array(), IsEmpty());
  EXPECT_FALSE(blobs_->exists("big"));
}

TEST_F(S3BlobsTest, ACompletionWhoseAnswerWasLostIsNoFailure) {
  server_.fault({{"method", "POST"}, {"match", "uploadId"}, {"do", "lose"}});
  blobs_->put("big", large('x', 11 << 20));
  EXPECT_EQ(read(*another(), "big", large('x', 11 << 20)), large('x', 11 << 20));
}

TEST_F(S3BlobsTest, WhatPassesIsTriedAgain) {
  for (const auto& fault :
       std::vector<json::object>{{{"do", "status"}, {"status", 500}, {"times", 3}},
                                 {{"do", "status"}, {"status", 503}, {"code", "SlowDown"}},
                                 {{"do", "status"}, {"status", 429}, {"code", "TooManyRequests"}},
                                 {{"do", "status"}, {"status", 400}, {"code", "RequestTimeout"}},
                                 {{"do", "reset"}, {"times", 2}},
                                 {{"do", "lose"}}}) {
    server_.fault(fault);
    blobs_->put("a", "bytes");
    server_.fault(fault);
    EXPECT_EQ(read(*another(), "a", "bytes"), "bytes") << base::to_text(fault);
  }
  server_.fault({{"method", "GET"}, {"do", "cut"}, {"times", 2}});
  blobs_->put("b", large());
  EXPECT_EQ(read(*another(), "b", large()), large());
}

TEST_F(S3BlobsTest, ThereIsAnEndOfTryingAgain) {
  server_.fault({{"method", "PUT"}, {"times", 100}, {"do", "status"}, {"status", 500}});
  const auto error = error_of([&] { blobs_->put("a", "bytes"); });
  EXPECT_THAT(error.message, HasSubstr("500 InternalError"));
  EXPECT_EQ(server_.count("PUT"), 6u);
}

TEST_F(S3BlobsTest, AStoreThatSaysWhenIsAskedThen) {
  server_.fault({{"method", "PUT"},
                 {"do", "status"},
                 {"status", 503},
                 {"code", "SlowDown"},
                 {"headers", {{"Retry-After", "1"}}}});
  const auto before = std::chrono::steady_clock::now();
  blobs_->put("a", "bytes");
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::seconds(1));
  // But not longer than there is patience.
  options_.retries.within = std::chrono::seconds(1);
  open();
  server_.fault({{"method", "PUT"},
                 {"do", "status"},
                 {"status", 503},
                 {"code", "SlowDown"},
                 {"headers", {{"Retry-After", "20"}}}});
  EXPECT_THAT(error_of([&] { blobs_->put("b", "bytes"); }).message, HasSubstr("SlowDown"));
}

TEST_F(S3BlobsTest, BytesThatAreSpoiltOnTheWayAreFetchedAgainAndSpoiltOnesAreNotGiven) {
  blobs_->put("a", large());
  server_.fault({{"method", "GET"}, {"match", "sha256/"}, {"do", "spoil"}});
  EXPECT_EQ(read(*another(), "a", large()), large());
  server_.control({{"spoil", name_of(large())}});
  const auto damaged = another()->open("a", base::Sha256::hex_of(large()));
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().reason, "artifact_damaged");
  EXPECT_EQ(damaged.error().code, base::Code::corrupt);
}

TEST_F(S3BlobsTest, ACopyThatWasChangedHereIsFetchedAgain) {
  blobs_->put("a", large());
  const auto copy = folder_ / "cache" / "0" / base::Sha256::hex_of(large());
  std::ofstream(copy, std::ios::app) << "more";
  EXPECT_EQ(read(*blobs_, "a", large()), large());
}

TEST_F(S3BlobsTest, TheLeastRecentlyUsedCopiesGo) {
  options_.cache_bytes = 250'000;
  open();
  const auto copies = [&] {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "cache" / "1"))
      count += entry.file_size() > 0;
    return count;
  };
  for (const char seed : {'a', 'b', 'c', 'd'}) blobs_->put(std::string(1, seed), large(seed));
  EXPECT_EQ(copies(), 2u);
  blobs_->put("e", large('e', 300'000));  // as large as all: it is not kept
  EXPECT_EQ(copies(), 2u);
  server_.control({{"forget", true}});
  EXPECT_EQ(read(*blobs_, "e", large('e', 300'000)), large('e', 300'000));
  EXPECT_EQ(server_.count("GET", "sha256/"), 1u);
}

TEST_F(S3BlobsTest, WhatAPersonHasToPutRightIsSaidClearlyAndNotTriedAgain) {
  EXPECT_TRUE(blobs_->check());
  EXPECT_THAT(server_.objects(), IsEmpty());
  const auto told = [&](const S3Options& options,
                        Credentials keys = {"AKIDTEST", "test/secret+key0123456789", ""}) {
    server_.control({{"forget", true}});
    const auto works = open_on(options, folder_ / "check", std::move(keys))->check();
    EXPECT_THAT(server_.state().at("requests").as_array(), SizeIs(::testing::Le(1u)));
    EXPECT_EQ(works ? base::Code::internal : works.error().code, base::Code::denied);
    return works ? "it works" : works.error().message;
  };
  EXPECT_THAT(told(options_, {"AKIDTEST", "wrong", ""}), HasSubstr("SignatureDoesNotMatch"));
  EXPECT_THAT(told(options_, {"AKIDOTHER", "wrong", ""}), HasSubstr("look at blobs.access_key_file"));
  EXPECT_THAT(told(options_, {"AKIDTEST", "test/secret+key0123456789", "old"}), HasSubstr("ExpiredToken"));
  auto options = options_;
  options.place.bucket = "nothing-here";
  EXPECT_THAT(told(options), HasSubstr("make the bucket, or correct blobs.url"));
  options = options_;
  options.place.region = "eu-west-1";
  EXPECT_THAT(told(options), HasSubstr("expecting 'us-east-1'"));
  server_.control({{"skew", 1200}});
  EXPECT_THAT(told(options_), HasSubstr("s behind the store's; set the clock"));
  server_.control({{"skew", -1200}});
  EXPECT_THAT(told(options_), HasSubstr("s ahead of the store's; set the clock"));
  server_.control({{"skew", 0}});
  server_.fault({{"do", "status"}, {"status", 403}, {"code", "AccessDenied"}});
  EXPECT_THAT(told(options_),
              HasSubstr("must be allowed to put, get, list and delete under artifacts/test/"));
  server_.fault({{"do", "status"},
                 {"status", 301},
                 {"code", "PermanentRedirect"},
                 {"headers", {{"x-amz-bucket-region", "eu-central-1"}}}});
  EXPECT_THAT(told(options_), HasSubstr("the bucket is in region eu-central-1; set blobs.region"));
}

TEST_F(S3BlobsTest, AStoreThatIsAwayIsUnavailableAndSaysWhichOne) {
  server_.control({{"down", true}});
  const auto away = blobs_->open("a", base::Sha256::hex_of("x"));
  EXPECT_EQ(away.error().code, base::Code::unavailable);
  EXPECT_EQ(away.error().reason, "storage_failed");
  EXPECT_THAT(away.error().message, HasSubstr("no answer from 127.0.0.1:" + server_.port()));
  EXPECT_EQ(error_of([&] { blobs_->put("a", "x"); }).reason, "storage_failed");
  EXPECT_EQ(error_of([&] { blobs_->remove("a"); }).reason, "storage_failed");
  EXPECT_EQ(error_of([&] { (void)blobs_->exists("a"); }).reason, "storage_failed");
  EXPECT_EQ(error_of([&] { blobs_->sweep(false); }).reason, "storage_failed");
  EXPECT_EQ(blobs_->check().error().code, base::Code::unavailable);
}

TEST_F(S3BlobsTest, ASlowStoreIsGivenUp) {
  options_.limits.idle = std::chrono::seconds(1);
  options_.retries.attempts = 1;
  open();
  server_.fault({{"do", "slow"}, {"seconds", 6}});
  EXPECT_EQ(error_of([&] { blobs_->put("a", "x"); }).code, base::Code::unavailable);
  options_.limits = {.total = std::chrono::seconds(1)};
  open();
  server_.fault({{"do", "slow"}, {"seconds", 6}});
  EXPECT_THAT(error_of([&] { blobs_->put("a", "x"); }).message, HasSubstr("timed out"));
}

TEST_F(S3BlobsTest, StoppingEndsWhatWaits) {
  server_.fault({{"do", "slow"}, {"seconds", 30}, {"times", 9}});
  base::Error error;
  std::thread waiting([&] { error = error_of([&] { blobs_->put("a", "x"); }); });
  while (server_.count("PUT") == 0) {
  }
  blobs_->stop();
  waiting.join();
  EXPECT_EQ(error.code, base::Code::unavailable);
  EXPECT_EQ(error_of([&] { blobs_->put("a", "x"); }).code, base::Code::unavailable);
}

TEST_F(S3BlobsTest, ConnectionsAreUsedAgain) {
  const auto before = server_.state().at("connections").as_int64();
  for (int i = 0; i < 20; ++i) blobs_->put("a" + std::to_string(i), "x");
  EXPECT_EQ(server_.state().at("connections").as_int64(), before + 1);
}

TEST_F(S3BlobsTest, ManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([this, i] {
      for (int n = 0; n < 5; ++n) {
        const auto key = "t/" + std::to_string(i) + "/" + std::to_string(n);
        blobs_->put(key, large(static_cast<char>('a' + n)));
        EXPECT_EQ(read(*blobs_, key, large(static_cast<char>('a' + n))), large(static_cast<char>('a' + n)));
        blobs_->remove(key);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(server_.objects(), IsEmpty());
  EXPECT_EQ(server_.complaints(), "[]");
}

TEST_F(S3BlobsTest, EncryptionIsAskedForWithEveryWrite) {
  options_.place.sse = "aws:kms";
  options_.place.sse_kms_key_id = "key-1";
  open();
  blobs_->put("a", "x");
  blobs_->put("b", large());
  blobs_->put("c", large('c', 11 << 20));
  const auto state = server_.state();
  for (const auto& [name, object] : state.at("objects").as_object()) {
    const auto& fields = object.as_object().at("fields").as_object();
    EXPECT_EQ(fields.at("x-amz-server-side-encryption").as_string(), "aws:kms") << name;
    EXPECT_EQ(fields.at("x-amz-server-side-encryption-aws-kms-key-id").as_string(), "key-1") << name;
  }
}

TEST_F(S3BlobsTest, LinksAreGivenOnlyWhenTheyAreWantedAndWorkWithoutKeys) {
  blobs_->put("a", "few");
  blobs_->put("b", large());
  EXPECT_FALSE(base::value_or_throw(blobs_->link("a", base::Sha256::hex_of("few"), "text/plain")));
  options_.presign = std::chrono::seconds(60);
  open();
  Transport transport({}, "");
  for (const auto& [key, text] : {std::pair<std::string, std::string>("a", "few"), {"b", large()}}) {
    const auto link = base::value_or_throw(blobs_->link(key, base::Sha256::hex_of(text), "text/plain"));
    ASSERT_TRUE(link);
    const auto fetch = [&] {
      return base::value_or_throw(transport.perform(
          {.method = "GET", .url = *link, .headers = {}, .body = {}, .file = {}, .sink = {}}));
    };
    const auto answer = fetch();
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.body, text);
    EXPECT_EQ(answer.header("content-type"), "text/plain");
    server_.control({{"skew", 61}});
    EXPECT_EQ(fetch().status, 403);
    server_.control({{"skew", 0}});
  }
  EXPECT_EQ(blobs_->link("none", base::Sha256::hex_of("x"), "").error().code, base::Code::not_found);
}

TEST_F(S3BlobsTest, KeysInFilesAreReadAgainWhenTheyChange) {
  const CredentialFiles files{folder_ / "access", folder_ / "secret", folder_ / "token"};
  const auto write = [](const std::string& path, const std::string& text) {
    std::ofstream(path) << text << "\n";
  };
  write(files.access_key, "AKIDTEST");
  write(files.secret_key, "test/secret+key0123456789");
  write(files.session_token, "first");
  server_.control({{"credentials", {"AKIDTEST", "test/secret+key0123456789", "first"}}});
  std::string told;
  auto source = base::value_or_throw(CredentialSource::from_files(files));
  source->on_change([&told](const Credentials& keys) { told = keys.session_token; });
  auto store = base::value_or_throw(S3Blobs::open(options_, std::move(source), folder_ / "rotating",
                                                  base::system_clock(), base::system_entropy()));
  store->put("a", "x");
  server_.control({{"credentials", {"AKIDTEST", "test/secret+key0123456789", "second-one"}}});
  EXPECT_THAT(error_of([&] { store->put("b", "y"); }).message, HasSubstr("ExpiredToken"));
  write(files.session_token, "second-one");
  store->put("b", "y");
  EXPECT_EQ(told, "second-one");
  std::ofstream(files.session_token, std::ios::trunc);  // being written
  store->put("c", "z");
  EXPECT_FALSE(CredentialSource::from_files(files));
  EXPECT_FALSE(CredentialSource::from_files({folder_ / "none", files.secret_key, ""}));
}

TEST(S3VirtualHost, TheBucketIsAPartOfTheName) {
  testing::TempDir folder;
  S3Server server({"--virtual-host", "localhost"});
  auto options = options_for(server);
  options.place.path_style = false;
  options.place.host = "localhost:" + server.port();
  const auto blobs = open_on(options, folder / "cache");
  blobs->put("a b/c", std::string(100'000, 'x'));
  EXPECT_TRUE(
      open_on(options, folder / "other")->open("a b/c", base::Sha256::hex_of(std::string(100'000, 'x'))));
  blobs->remove("a b/c");
  EXPECT_EQ(server.complaints(), "[]");
}

TEST(S3Tls, OnlyBelievedCertificatesAreTalkedTo) {
  testing::TempDir folder;
  const auto key = (folder / "key.pem").string(), certificate = (folder / "cert.pem").string();
  const auto make =
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost "
      "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout " +
      key + " -out " + certificate + " 2>/dev/null";
  ASSERT_EQ(::system(make.c_str()), 0);
  S3Server server({"--tls", certificate, key});
  auto options = options_for(server);
  options.place.scheme = "https";
  options.place.host = "localhost:" + server.port();
  const auto strange = open_on(options, folder / "cache")->check();
  ASSERT_FALSE(strange);
  EXPECT_EQ(strange.error().code, base::Code::denied) << strange.error().message;
  options.ca_file = certificate;
  const auto known = open_on(options, folder / "cache")->check();
  EXPECT_TRUE(known) << known.error().message;
}

TEST(S3Server, RefusesWhatIsSignedWrongly) {
  testing::TempDir folder;
  S3Server server;
  const auto options = options_for(server);
  EXPECT_FALSE(open_on(options, folder / "cache", {"AKIDTEST", "test/secret+key0123456780", ""})->check());
  EXPECT_THAT(server.complaints(), HasSubstr("SignatureDoesNotMatch"));
}

}  // namespace

}  // namespace agentrouter::blobs
