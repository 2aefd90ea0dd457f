#include "workspace/pack.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "workspace/archive.h"
#include "workspace/overlay_test.h"

namespace agentrouter::workspace {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class PackTest : public OverlayTest {
 protected:
  base::Result<PackReport> pack(const PackLimits& limits = {}) {
    const base::Fd folder(::open(base().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const base::Fd out(::open(archive().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    return pack_folder(folder.get(), out.get(), limits);
  }

  // The paths in the archive that was written last.
  std::vector<std::string> packed() const {
    std::vector<std::string> paths;
    const base::Fd in(::open(archive().c_str(), O_RDONLY | O_CLOEXEC));
    ArchiveReader reader(in.get());
    for (auto entry = reader.next(); entry && *entry; entry = reader.next()) paths.push_back((*entry)->path);
    return paths;
  }

  fs::path archive() const { return root / "packed"; }
};

TEST_F(PackTest, TakesWhatGitWouldTakeAndNothingOfItsHistory) {
  ASSERT_EQ(0, shell("cd " + base().string() +
                     R"sh( && git init -q . && git config user.email a@b && git config user.name a
    mkdir -p src build deep/er && echo x > src/a && echo o > build/out.o && echo l > x.log && echo k > kept.log
    printf '*.log\nbuild/\n' > .gitignore && printf '!x.log\n' > deep/.gitignore && echo l > deep/x.log
    echo t > build/tracked && git add -f build/tracked && echo n > deep/er/new && ln -s ../src/a deep/link)sh"));
  const auto report = pack();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(packed(), ElementsAre(".gitignore", "build/", "build/tracked", "deep/", "deep/.gitignore",
                                    "deep/er/", "deep/er/new", "deep/link", "deep/x.log", "src/", "src/a"));
  EXPECT_EQ(7u, report->files);
  EXPECT_EQ(fs::file_size(archive()), report->bytes);
}

TEST_F(PackTest, ItsArchiveUnpacksToTheSameFiles) {
  ASSERT_EQ(0,
            shell("cd " + base().string() + R"sh( && mkdir -p a/b empty && echo 1 > a/b/c && chmod 755 a/b/c
    printf x > "$(printf 'bytes-\377')" && : > zero && ln -s a/b link && touch -d '2001-02-03 04:05:06.5' a/b/c)sh"));
  ASSERT_TRUE(pack());
  ASSERT_EQ(0, shell("mkdir " + (root / "out").string() + " && tar --zstd -xf " + archive().string() +
                     " -C " + (root / "out").string()));
  const auto list = [](const fs::path& place) {
    return "cd " + place.string() + " && find . -printf '%p %y %m %T@ %l\\n' | grep -v '^\\. ' | sort";
  };
  EXPECT_EQ(0, shell("[ \"$(" + list(base()) + ")\" = \"$(" + list(root / "out") + ")\" ] && diff -r " +
                     base().string() + " " + (root / "out").string()));
}

TEST_F(PackTest, NamesWhatAnUploadWouldRefuse) {
  ASSERT_EQ(
      0,
      shell("cd " + base().string() + " && mkfifo pipe && ln -s /etc/passwd absolute && ln -s ../up out &&" +
            " mkdir d && ln -s ../../up d/out && ln -s ../in d/in && echo s > suid && chmod 4755 suid"));
  const auto report = pack();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_THAT(report->left_out, ElementsAre("absolute", "d/out", "out", "pipe"));
  EXPECT_THAT(packed(), ElementsAre("d/", "d/in", "suid"));
  EXPECT_EQ(0, shell("tar --zstd -tvf " + archive().string() + " suid | grep -q '^-rwxr-xr-x'"));
}

TEST_F(PackTest, EqualFoldersGiveEqualBytes) {
  write_text(base() / "a/b", "1");
  ASSERT_TRUE(pack());
  const auto first = read_text(archive());
  ASSERT_TRUE(pack());
  EXPECT_EQ(first, read_text(archive()));
}

TEST_F(PackTest, RefusesWhatIsOverALimitAndSaysWhere) {
  write_text(base() / "a/b/c", "12345");
  const auto said = [&](const PackLimits& limits) {
    const auto report = pack(limits);
    return report ? std::string()
                  : std::string(to_string(report.error().code)) + ": " + report.error().message;
  };
  EXPECT_EQ("", said({.entries = 3}));
  EXPECT_THAT(said({.entries = 2}), HasSubstr("exhausted: too many files at a/b/c"));
  EXPECT_THAT(said({.bytes = 4}), HasSubstr("exhausted: the files are too large at a/b/c"));
  EXPECT_THAT(said({.bytes = 20}), HasSubstr("exhausted: cannot write the archive"));
  EXPECT_EQ("", said({.depth = 2}));
  EXPECT_THAT(said({.depth = 1}), HasSubstr("exhausted: too many folders in a/b/"));
}

TEST_F(PackTest, SaysWhatItCannotRead) {
  const auto report = pack_folder(-1, -1);
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().message, HasSubstr("cannot read the folder"));
}

}  // namespace
}  // namespace agentrouter::workspace
