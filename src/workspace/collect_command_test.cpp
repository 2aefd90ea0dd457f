#include "workspace/overlay_test.h"

namespace agentrouter::workspace {
namespace {

// run_collector() as init starts it: a process of its own, with everything on fixed descriptors.
class CollectCommand : public OverlayTest {
 protected:
  int run(int report_fd) {
    const pid_t child = ::fork();
    if (child == 0) {
      const base::Fd lower(::open(base().c_str(), O_PATH | O_DIRECTORY));
      const base::Fd upper = numbered_stack();
      const base::Fd index(::open((root / "index.json").c_str(), O_WRONLY | O_CREAT, 0600));
      const base::Fd patch(::open(patch_path().c_str(), O_WRONLY | O_CREAT, 0600));
      const int wanted[] = {lower.get(), upper.get(), index.get(), patch.get(), report_fd};
      // Out of the way first: one may stand where another belongs.
      int safe[5];
      for (int i = 0; i < 5; ++i) safe[i] = ::fcntl(wanted[i], F_DUPFD, 100);
      const int places[] = {collect_fd::lower, collect_fd::upper, collect_fd::index_out,
                            collect_fd::patch_out, collect_fd::report_out};
      for (int i = 0; i < 5; ++i) ::dup2(safe[i], places[i]);
      ::_exit(run_collector(CollectWhat::all));
    }
    int status = 0;
    EXPECT_EQ(child, ::waitpid(child, &status, 0));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
};

TEST_F(CollectCommand, WritesIndexPatchAndReport) {
  write_text(base() / "a", "1\n");
  commit_base();
  run_agent([] { write_text("a", "2\n"); });
  const base::Fd report(::open((root / "report").c_str(), O_WRONLY | O_CREAT, 0600));
  EXPECT_EQ(0, run(report.get()));
  const auto parsed = parse_report(read_text(root / "report"));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(1u, parsed->index.files);
  EXPECT_EQ(" M a\n", index());
  EXPECT_EQ(patch().size(), parsed->patch.bytes);
  EXPECT_EQ(agents_tree(), tree_of_patched_clone());
}

TEST_F(CollectCommand, OutputThatCannotBeWrittenIsAFailure) {
  const base::Fd full(::open("/dev/full", O_WRONLY));
  EXPECT_EQ(1, run(full.get()));
}

}  // namespace
}  // namespace agentrouter::workspace
