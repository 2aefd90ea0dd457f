#include "store/sqlite/folder_lock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <optional>

#include "testing/temp_dir.h"

namespace agentrouter::store {
namespace {

// Another process, which does one thing after the other as it is told; made before anything is locked here, because
// what a process holds it also knows of itself.
class OtherProcess {
 public:
  explicit OtherProcess(std::function<void(int socket)> work) {
    auto pair = base::value_or_throw(base::make_seqpacket_pair());
    pid_ = ::fork();
    if (pid_ == 0) {
      pair.first.reset();
      work(pair.second.get());
      ::_exit(0);
    }
    socket_ = std::move(pair.first);
  }
  ~OtherProcess() {
    socket_.reset();
    ::waitpid(pid_, nullptr, 0);
  }
  void give(int fd) { EXPECT_TRUE(base::send_message(socket_.get(), "fd", std::span(&fd, 1))); }
  void tell() { EXPECT_TRUE(base::send_message(socket_.get(), "go")); }
  base::Fd take() { return std::move(base::value_or_throw(base::receive_message(socket_.get(), 64)).fds.at(0)); }
  std::string answer() { return base::value_or_throw(base::receive_message(socket_.get(), 64)).bytes; }

 private:
  pid_t pid_ = -1;
  base::Fd socket_;
};

void say(int socket, const std::string& word) {
  if (!base::send_message(socket, word)) ::_exit(1);
}
void hear(int socket) {
  const auto heard = base::receive_message(socket, 64);
  if (!heard || heard->bytes.empty()) ::_exit(1);
}

class FolderLocks : public ::testing::Test {
 protected:
  std::string taken() {
    const auto lock = FolderLock::take(folder_.path());
    return lock ? "taken" : lock.error().reason;
  }
  testing::TempDir folder_;
};

TEST_F(FolderLocks, AFolderChangesHandsWithoutAMomentInWhichItIsFree) {
  const auto folder = folder_.path();
  OtherProcess newer([folder](int socket) {
    auto given = base::receive_message(socket, 64);
    if (!given || given->fds.size() != 1) ::_exit(1);
    auto lock = FolderLock::adopt(folder, std::move(given->fds.front()));
    if (!lock) ::_exit(1);
    say(socket, lock->settle() ? "settled" : "not yet");
    hear(socket);
    say(socket, lock->settle() ? "settled" : "not yet");
    hear(socket);
  });
  OtherProcess third([folder](int socket) {
    for (;;) {
      hear(socket);
      say(socket, FolderLock::take(folder) ? "taken" : "in use");
    }
  });
  const auto third_gets = [&third] {
    third.tell();
    return third.answer();
  };
  {
    auto own = base::value_or_throw(FolderLock::take(folder));
    EXPECT_EQ(third_gets(), "in use");
    newer.give(base::value_or_throw(own.give()));
    EXPECT_EQ(newer.answer(), "not yet");
    EXPECT_EQ(third_gets(), "in use");
  }
  EXPECT_EQ(third_gets(), "in use");
  EXPECT_EQ(taken(), "data_in_use");
  newer.tell();
  EXPECT_EQ(newer.answer(), "settled");
  EXPECT_EQ(third_gets(), "in use");
  EXPECT_EQ(taken(), "data_in_use");
}

TEST_F(FolderLocks, WhenWhoGaveItDiesTheOtherOneHasItAlone) {
  const auto folder = folder_.path();
  OtherProcess third([folder](int socket) {
    hear(socket);
    say(socket, FolderLock::take(folder) ? "taken" : "in use");
  });
  std::optional<FolderLock> own;
  {
    OtherProcess before([folder](int socket) {
      auto lock = FolderLock::take(folder);
      const int fd = lock ? base::value_or_throw(lock->give()) : -1;
      if (!base::send_message(socket, "fd", std::span(&fd, 1))) ::_exit(1);
      hear(socket);
    });
    own.emplace(base::value_or_throw(FolderLock::adopt(folder, before.take())));
    EXPECT_FALSE(own->settle());
  }
  third.tell();
  EXPECT_EQ(third.answer(), "in use");
  EXPECT_TRUE(own->settle());
}

TEST_F(FolderLocks, TakenBackItIsThisProcessAlone) {
  auto own = base::value_or_throw(FolderLock::take(folder_.path()));
  const base::Fd copy(::dup(base::value_or_throw(own.give())));
  own.take_back();
  EXPECT_EQ(taken(), "data_in_use");
  { const auto gone = std::move(own); }
  EXPECT_EQ(taken(), "taken");
}

TEST_F(FolderLocks, ADescriptorOfAnotherFileIsNotTheLock) {
  { EXPECT_EQ(taken(), "taken"); }
  base::Fd other(::open((folder_.path() / "other").c_str(), O_RDWR | O_CREAT, 0600));
  EXPECT_EQ(FolderLock::adopt(folder_.path(), std::move(other)).error().code, base::Code::invalid);
}

}  // namespace
}  // namespace agentrouter::store
