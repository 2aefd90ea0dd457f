#include "workspace/self_limits.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/fd.h"

namespace agentrouter::workspace {
namespace {

constexpr int patience_ms = 10'000;

TEST(EndWithParent, TheDeathOfTheParentIsTheEnd) {
  auto report = base::value_or_throw(base::make_pipe());
  auto child = base::value_or_throw(base::make_pipe());
  const pid_t parent = ::fork();
  if (parent == 0) {
    if (::fork() == 0) {
      (void)::alarm(60);  // if nothing else ends it
      end_with_parent(report.second.get());
      (void)::write(child.second.get(), "x", 1);
      for (;;) ::pause();
    }
    for (;;) ::pause();
  }
  child.second.reset();
  char ready = 0;
  ASSERT_EQ(::read(child.first.get(), &ready, 1), 1);
  ::kill(parent, SIGKILL);
  ASSERT_EQ(::waitpid(parent, nullptr, 0), parent);
  pollfd closed{child.first.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&closed, 1, patience_ms), 1) << "it goes on alone";
  EXPECT_EQ(::read(child.first.get(), &ready, 1), 0);
}

TEST(EndWithParent, AParentThatHasGoneAlreadyIsTheEnd) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto report = base::make_pipe();
    report->first.reset();
    end_with_parent(report->second.get());
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

TEST(EndWithParent, WhoeverHasAReaderGoesOn) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto report = base::make_pipe();
    end_with_parent(report->second.get());
    ::_exit(7);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

}  // namespace
}  // namespace agentrouter::workspace
