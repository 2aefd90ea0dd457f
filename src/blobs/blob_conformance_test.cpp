// What every blob store does, whatever it stands on.

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>

#include "base/hash.h"
#include "blobs/blob_store.h"
#include "blobs/fs/fs_blobs.h"
#include "blobs/s3/s3_place_test.h"
#include "testing/temp_dir.h"

namespace agentrouter::blobs {

namespace {

// A place where a store keeps its blobs; stores that are made of it one after the other have the same ones.
class BlobPlace {
 public:
  virtual ~BlobPlace() = default;
  [[nodiscard]] virtual std::unique_ptr<BlobStore> open() = 0;
};

using MakeBlobPlace = std::function<std::unique_ptr<BlobPlace>()>;

class BlobConformance : public ::testing::TestWithParam<MakeBlobPlace> {
 protected:
  void SetUp() override {
    place_ = GetParam()();
    reopen();
  }
  void reopen() {
    store_.reset();
    store_ = place_->open();
  }
  std::string content(std::string_view key, std::string_view sha256) {
    auto blob = base::value_or_throw(store_->open(key, sha256));
    auto text = base::value_or_throw(base::read_all(blob.fd.get(), 64 << 20));
    EXPECT_EQ(static_cast<std::int64_t>(text.size()), blob.size);
    EXPECT_TRUE(check_blob(blob, sha256));
    return text;
  }
  static std::string bytes(std::size_t size, char seed = 'a') {
    std::string text;
    for (std::size_t i = 0; text.size() < size; ++i) text += seed + std::to_string(i) + "\n";
    text.resize(size);
    return text;
  }
  static std::string digest(std::string_view text) { return base::Sha256::hex_of(text); }
  template <class Call>
  static std::string reason_of(Call call) {
    try {
      call();
    } catch (const base::Failure& failure) {
      return failure.error().reason;
    }
    return "nothing thrown";
  }

  testing::TempDir folder_;
  std::unique_ptr<BlobPlace> place_;
  std::unique_ptr<BlobStore> store_;
};

TEST_P(BlobConformance, WhatIsPutIsReadBackByAnyStoreOfThePlace) {
  for (const std::size_t size : {0u, 1u, 4u, 65'536u, 65'537u, 300'000u}) {
    const auto text = bytes(size);
    const auto key = "runs/run_1/sized/" + std::to_string(size);
    const auto info = store_->put(key, text);
    EXPECT_EQ(info.size, static_cast<std::int64_t>(size));
    EXPECT_EQ(info.sha256, digest(text));
    EXPECT_EQ(content(key, info.sha256), text);
    reopen();
    EXPECT_EQ(content(key, info.sha256), text);
    EXPECT_TRUE(store_->exists(key));
    EXPECT_TRUE(store_->holds(key, info.sha256));
  }
  EXPECT_FALSE(store_->holds("runs/run_1/none", digest("x")));
}

TEST_P(BlobConformance, AnyBytesAreKept) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  const auto info = store_->put("any", all);
  reopen();
  EXPECT_EQ(content("any", info.sha256), all);
}

TEST_P(BlobConformance, PiecesAreHashedWhileTheyAreWrittenAndSeenOnlyAfterCommit) {
  const auto writer = store_->create("a/b");
  std::string all;
  for (int i = 0; i < 2000; ++i) {
    const auto piece = bytes(200, static_cast<char>('a' + i % 20));
    writer->write(piece);
    all += piece;
  }
  EXPECT_EQ(writer->written().sha256, digest(all));
  EXPECT_EQ(writer->written().size, static_cast<std::int64_t>(all.size()));
  EXPECT_FALSE(store_->exists("a/b"));
  EXPECT_EQ(writer->commit().sha256, digest(all));
  EXPECT_EQ(content("a/b", digest(all)), all);
}

TEST_P(BlobConformance, WithoutCommitThereIsNothing) {
  store_->create("a")->write("half");
  EXPECT_FALSE(store_->exists("a"));
  EXPECT_EQ(store_->open("a", digest("half")).error().code, base::Code::not_found);
}

TEST_P(BlobConformance, AnOpenBlobIsReadToItsEndWhateverHappensToIt) {
  const auto info = store_->put("a", bytes(100'000));
  auto before = base::value_or_throw(store_->open("a", info.sha256));
  store_->put("a", "newer");
  store_->remove("a");
  EXPECT_EQ(base::value_or_throw(base::read_all(before.fd.get(), 1 << 20)), bytes(100'000));
}

TEST_P(BlobConformance, WritingAgainIsFine) {
  for (const auto& text : {std::string("small"), bytes(200'000)}) {
    store_->put("a", text);
    store_->put("a", text);
    EXPECT_EQ(content("a", digest(text)), text);
    store_->put("a", "another");
    EXPECT_EQ(content("a", digest("another")), "another");
  }
}

TEST_P(BlobConformance, BlobsWithTheSameBytesGoOneByOne) {
  for (const auto& text : {std::string("the same"), bytes(200'000)}) {
    for (const auto* key : {"r/one", "r/two", "s/three"}) store_->put(key, text);
    store_->remove("r/one");
    reopen();
    EXPECT_FALSE(store_->exists("r/one"));
    EXPECT_EQ(content("r/two", digest(text)), text);
    store_->remove("r/two");
    reopen();
    EXPECT_EQ(content("s/three", digest(text)), text);
    store_->remove("s/three");
    reopen();
    EXPECT_EQ(store_->open("s/three", digest(text)).error().code, base::Code::not_found);
    store_->put("r/one", text);
    EXPECT_EQ(content("r/one", digest(text)), text);
    store_->remove("r/one");
  }
}

TEST_P(BlobConformance, PutFromReadsADescriptorToItsEnd) {
  const auto text = bytes(250'000);
  std::ofstream(folder_ / "source") << text;
  const base::Fd source(::open((folder_ / "source").c_str(), O_RDONLY | O_CLOEXEC));
  const auto info = base::value_or_throw(store_->put_from("a", source.get(), 1 << 20));
  EXPECT_EQ(info.size, static_cast<std::int64_t>(text.size()));
  EXPECT_EQ(content("a", digest(text)), text);
}

TEST_P(BlobConformance, PutFromStopsAtItsLimitAndStoresNothing) {
  std::ofstream(folder_ / "source") << "12345";
  const base::Fd source(::open((folder_ / "source").c_str(), O_RDONLY | O_CLOEXEC));
  const auto refused = store_->put_from("a", source.get(), 4);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::exhausted);
  EXPECT_FALSE(store_->exists("a"));
}

TEST_P(BlobConformance, KeysThatCouldLeaveThePlaceAreRefused) {
  for (const std::string_view key :
       {"", "/etc/passwd", "..", "../a", "a/../b", "a/..", "./a", "a//b", "a/", ".tmp/1", "a/.b"}) {
    EXPECT_EQ(reason_of([&] { store_->put(key, "x"); }), "blob_key_invalid") << key;
    EXPECT_EQ(store_->open(key, digest("x")).error().reason, "blob_key_invalid") << key;
    EXPECT_EQ(reason_of([&] { store_->remove(key); }), "blob_key_invalid") << key;
    EXPECT_EQ(reason_of([&] { store_->remove_empty(key); }), "blob_key_invalid") << key;
    EXPECT_FALSE(store_->exists(key)) << key;
  }
}

TEST_P(BlobConformance, KeysOfAllCharactersThatNamesHave) {
  for (const std::string_view key : {"runs/run_1/logs/stdout/000001.ndjson.gz", "a b/c+d",
                                     "r/\xc3\xa4\xe2\x82\xac", "r/100%25&x=1?y#z", "r/~(!*')"}) {
    const auto info = store_->put(key, key);
    reopen();
    EXPECT_EQ(content(key, info.sha256), key);
    store_->remove(key);
    EXPECT_FALSE(store_->exists(key)) << key;
  }
}

TEST_P(BlobConformance, WhatIsNotThereIsNotFound) {
  EXPECT_EQ(store_->open("a", digest("x")).error().code, base::Code::not_found);
  store_->put("a/b", "x");
  reopen();
  EXPECT_EQ(store_->open("a", digest("x")).error().code, base::Code::not_found);
  EXPECT_FALSE(store_->exists("a"));
}

TEST_P(BlobConformance, RemovingIsRepeatableAndTakesNothingElse) {
  store_->put("a/b", "x");
  store_->put("a/bc", "x");
  store_->put("a/b2/c", "x");
  store_->remove("a/b");
  EXPECT_FALSE(store_->exists("a/b"));
  store_->remove("a/b");
  store_->remove("never/was");
  EXPECT_TRUE(store_->exists("a/bc"));
  EXPECT_TRUE(store_->exists("a/b2/c"));
  store_->remove_empty("a");
  store_->remove_empty("none");
  EXPECT_EQ(content("a/bc", digest("x")), "x");
}

TEST_P(BlobConformance, SweepingTakesNothingThatIsThere) {
  const auto small = store_->put("a", "x");
  const auto large = store_->put("b", bytes(200'000));
  store_->sweep(false);
  reopen();
  EXPECT_EQ(content("a", small.sha256), "x");
  EXPECT_EQ(content("b", large.sha256), bytes(200'000));
}

class FsPlace final : public BlobPlace {
 public:
  std::unique_ptr<BlobStore> open() override {
    return base::value_or_throw(open_fs_blobs(folder_ / "blobs"));
  }

 private:
  testing::TempDir folder_;
};

// Each store that is opened on it is another machine's: it has no copies. In the strict server, or in the one
// that AGENTROUTER_OTHER_S3 names as HOST:PORT (s3rver, whose keys are these).
class SharedPlace final : public BlobPlace {
 public:
  SharedPlace() {
    const char* other = std::getenv("AGENTROUTER_OTHER_S3");
    if (other == nullptr) {
      options_ = options_for(server_.emplace());
      return;
    }
    keys_ = {"S3RVER", "S3RVER", ""};
    options_.place = {.scheme = "http",
                      .host = other,
                      .path_style = true,
                      .bucket = "artifacts",
                      .prefix = folder_.path().filename().string() + "/",
                      .region = "us-east-1",
                      .sse = {},
                      .sse_kms_key_id = {}};
  }
  std::unique_ptr<BlobStore> open() override {
    return open_on(options_, folder_ / std::to_string(next_++), keys_);
  }
  ~SharedPlace() override {
    if (server_) EXPECT_EQ(server_->complaints(), "[]");
  }

 private:
  testing::TempDir folder_;
  std::optional<S3Server> server_;
  S3Options options_;
  Credentials keys_{"AKIDTEST", "test/secret+key0123456789", ""};
  int next_ = 0;
};

}  // namespace

INSTANTIATE_TEST_SUITE_P(Fs, BlobConformance,
                         ::testing::Values(MakeBlobPlace([] { return std::make_unique<FsPlace>(); })));
INSTANTIATE_TEST_SUITE_P(S3, BlobConformance,
                         ::testing::Values(MakeBlobPlace([] { return std::make_unique<SharedPlace>(); })));

}  // namespace agentrouter::blobs
