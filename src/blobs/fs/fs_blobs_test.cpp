#include "blobs/fs/fs_blobs.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>

#include "base/hash.h"
#include "testing/temp_dir.h"

namespace agentrouter::blobs {

namespace {

class FsBlobs : public ::testing::Test {
 protected:
  void SetUp() override { reopen(); }
  void reopen() { blobs_ = base::value_or_throw(open_fs_blobs(folder_ / "blobs")); }
  std::string content(std::string_view key) {
    auto blob = base::value_or_throw(blobs_->open(key, {}));
    auto text = base::value_or_throw(base::read_all(blob.fd.get(), 64 << 20));
    EXPECT_EQ(static_cast<std::int64_t>(text.size()), blob.size);
    return text;
  }
  std::size_t temporary_files() {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "blobs/.tmp"))
      count += entry.exists();
    return count;
  }
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
  std::unique_ptr<BlobStore> blobs_;
};

TEST_F(FsBlobs, WithoutCommitNothingIsLeft) {
  blobs_->create("a")->write("half");
  EXPECT_FALSE(blobs_->exists("a"));
  EXPECT_EQ(temporary_files(), 0u);
}

TEST_F(FsBlobs, ReplacingIsAtOnceAndOpenReadersKeepTheOldBytes) {
  blobs_->put("a", "old");
  auto before = base::value_or_throw(blobs_->open("a", {}));
  blobs_->put("a", "newer");
  EXPECT_EQ(content("a"), "newer");
  EXPECT_EQ(base::value_or_throw(base::read_all(before.fd.get(), 100)), "old");
}

TEST_F(FsBlobs, PutFromStopsAtItsLimitAndStoresNothing) {
  std::ofstream(folder_ / "source") << "12345";
  const base::Fd source(::open((folder_ / "source").c_str(), O_RDONLY | O_CLOEXEC));
  const auto refused = blobs_->put_from("a", source.get(), 4);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::exhausted);
  EXPECT_FALSE(blobs_->exists("a"));
  EXPECT_EQ(temporary_files(), 0u);
}

TEST_F(FsBlobs, KeysThatCouldLeaveTheFolderAreRefused) {
  for (const std::string_view key :
       {"", "/etc/passwd", "..", "../a", "a/../b", "a/..", "./a", "a//b", "a/", ".tmp/1", "a/.b"}) {
    EXPECT_FALSE(is_blob_key(key)) << key;
    EXPECT_EQ(reason_of([&] { blobs_->put(key, "x"); }), "blob_key_invalid") << key;
    EXPECT_EQ(blobs_->open(key, {}).error().reason, "blob_key_invalid") << key;
    EXPECT_EQ(reason_of([&] { blobs_->remove(key); }), "blob_key_invalid") << key;
    EXPECT_FALSE(blobs_->exists(key)) << key;
  }
  EXPECT_FALSE(is_blob_key(std::string_view("a\0b", 3)));
  EXPECT_FALSE(is_blob_key(std::string(256, 'a')));
  EXPECT_TRUE(is_blob_key("runs/run_1/logs/stdout/000001.ndjson.gz"));
}

TEST_F(FsBlobs, OpeningSweepsWhatADeadProcessLeft) {
  std::ofstream(folder_ / "blobs/.tmp/17") << "half";
  blobs_->put("a", "x");
  reopen();
  EXPECT_EQ(temporary_files(), 0u);
  EXPECT_EQ(content("a"), "x");
}

TEST_F(FsBlobs, EmptyFoldersGoAndThoseWithABlobStay) {
  for (const auto* key : {"runs/r/logs/a", "runs/r/b", "runs/r/checkpoint/c", "runs/s/d"}) blobs_->put(key, "x");
  for (const auto* key : {"runs/r/logs/a", "runs/r/b"}) blobs_->remove(key);
  blobs_->remove_empty("runs/r");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "blobs/runs/r/logs"));
  EXPECT_EQ(content("runs/r/checkpoint/c"), "x");
  blobs_->remove("runs/r/checkpoint/c");
  blobs_->remove_empty("runs/r");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "blobs/runs/r"));
  EXPECT_EQ(content("runs/s/d"), "x");
  blobs_->remove_empty("runs/none");
  EXPECT_EQ(reason_of([&] { blobs_->remove_empty("../out"); }), "blob_key_invalid");
}

TEST_F(FsBlobs, FilesAreReadableByTheirOwnerOnly) {
  blobs_->put("a/b", "x");
  struct stat info{};
  ASSERT_EQ(::stat((folder_ / "blobs/a/b").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  ASSERT_EQ(::stat((folder_ / "blobs/a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
}

TEST_F(FsBlobs, ADiskThatRefusesLeavesNothingAndTheNextBlobIsFine) {
  // A file size limit refuses a write in the middle, as a full disk does.
  ::signal(SIGXFSZ, SIG_IGN);
  struct rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  struct rlimit tight = old;
  tight.rlim_cur = 10'000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  const auto reason = reason_of([&] { blobs_->put("a", std::string(20'000, 'x')); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  EXPECT_EQ(reason, "storage_full");
  EXPECT_FALSE(blobs_->exists("a"));
  EXPECT_EQ(temporary_files(), 0u);
  EXPECT_EQ(blobs_->put("a", "fits").size, 4);
}

TEST_F(FsBlobs, AFileInTheWayIsAFailureNotACrash) {
  blobs_->put("a", "x");
  EXPECT_EQ(reason_of([&] { blobs_->put("a/b", "y"); }), "storage_failed");
  EXPECT_EQ(content("a"), "x");
}

}  // namespace

}  // namespace agentrouter::blobs
