#include "workspace/file_list.h"

#include <gmock/gmock.h>

#include "workspace/file_view_test.h"

namespace agentrouter::workspace {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class FileListTest : public FilesTest {};
INSTANTIATE_TEST_SUITE_P(Everywhere, FileListTest, testing::Values("live", "kept"),
                         [](const auto& info) { return info.param; });

TEST_P(FileListTest, IsTheMergedTreeWithWhatDiffersFromTheBase) {
  for (const auto* name : {"a", "b", "dir/kept", "dir/gone", "old/x", "same", "type"}) write_text(base() / name, "base\n");
  after("echo more >> a; rm b dir/gone; echo n > dir/new; rm -r old; mkdir old; echo y > old/y; touch same; "
        "rm type; ln -s a type; mkdir -p .git sub/.GIT; echo x > .git/x; echo x > sub/.GIT/x; chmod +x dir/kept");
  EXPECT_THAT(lines(list(everything())),
              ElementsAre("file a [ M]", "folder dir", "file dir/kept [ M]", "file dir/new [??]", "folder old",
                          "file old/y [??]", "file same", "folder sub", "link type [ T] -> a"));
}

TEST_P(FileListTest, AFolderAloneOrAllBelowIt) {
  for (const auto* name : {"a", "dir/b", "dir/sub/c", "z"}) write_text(base() / name, "base\n");
  after("true");
  FileRequest request;
  EXPECT_THAT(lines(list(request)), ElementsAre("file a", "folder dir", "file z"));
  request.path = "dir";
  EXPECT_THAT(lines(list(request)), ElementsAre("file dir/b", "folder dir/sub"));
  request.depth = FileRequest::Depth::all;
  EXPECT_THAT(lines(list(request)), ElementsAre("file dir/b", "folder dir/sub", "file dir/sub/c"));
}

TEST_P(FileListTest, EntriesHaveSizeModeAndTime) {
  write_text(base() / "a", "12345");
  after("echo 1 > b; chmod 4750 b; touch -d '2001-02-03 04:05:06.789 UTC' b; mkdir c; chmod 1777 c; mkfifo d");
  const auto items = list({}).at("items").as_array();
  const auto text = [&](std::size_t i, const char* key) {
    return std::string(items.at(i).as_object().at(key).as_string());
  };
  EXPECT_EQ(5, items.at(0).at("size").as_int64());
  EXPECT_EQ("100644", text(0, "mode"));
  EXPECT_EQ("100750", text(1, "mode"));
  EXPECT_EQ("2001-02-03T04:05:06.789Z", text(1, "modifiedAt"));
  EXPECT_EQ("040777", text(2, "mode"));
  EXPECT_FALSE(items.at(2).as_object().contains("size"));
  // A checkpoint keeps no pipe.
  ASSERT_EQ(GetParam() == "live" ? 4u : 3u, items.size());
  if (GetParam() == "live") {
    EXPECT_EQ("other", text(3, "type"));
  }
}

TEST_P(FileListTest, NamesOfAnyBytesAndHostileLinksAreToldAsText) {
  after(R"sh(: > "$(printf 'x\377\\y')"; : > "$(printf 'line\nbreak')"; ln -s /etc/shadow secret; ln -s "$(printf '\376')" weird; ln -s . loop)sh");
  const auto page = list(everything());
  EXPECT_THAT(lines(page), ElementsAre("file line\nbreak [??]", "link loop [??] -> .", "link secret [??] -> /etc/shadow",
                                       "link weird [??] -> \\xfe", "file x\\xff\\x5cy [??]"));
  const auto& odd = page.at("items").as_array().at(4).as_object();
  EXPECT_EQ("escaped", odd.at("encoding").as_string());
  EXPECT_EQ("escaped", page.at("items").as_array().at(3).as_object().at("targetEncoding").as_string());
}

TEST_P(FileListTest, PagesGiveEachEntryOnceInTheSameOrder) {
  for (const auto* name : {"a.txt", "a/b/c", "a/b.txt", "a/d", "e", "f/g"}) write_text(base() / name, "base\n");
  after("mkdir -p a/new; echo x > a/new/x; echo y > \"$(printf 'a/\\377')\"; rm a/d; echo h > h");
  const auto all = lines(list(everything()));
  EXPECT_THAT(all, SizeIs(12));
  for (const std::int64_t limit : {1, 2, 5}) {
    std::vector<std::string> joined;
    auto request = everything(limit);
    for (;;) {
      const auto page = list(request);
      for (auto& line : lines(page)) joined.push_back(line);
      const auto next = base::get_string(page, "nextCursor");
      if (!next) break;
      request.after = unescape_path(*next);
    }
    EXPECT_EQ(all, joined);
  }
}

TEST_P(FileListTest, APageGoesOnWhereItEndedAlsoWhenThatIsGone) {
  for (const auto* name : {"a", "c/x", "d"}) write_text(base() / name, "base\n");
  after("true");
  auto request = everything();
  request.after = "b/long/gone";
  EXPECT_THAT(lines(list(request)), ElementsAre("folder c", "file c/x", "file d"));
  request.after = "c";
  EXPECT_THAT(lines(list(request)), ElementsAre("file c/x", "file d"));
  request.path = "c";
  request.after = "d";
  EXPECT_THAT(lines(list(request)), IsEmpty());
  request.after = "a";
  EXPECT_THAT(lines(list(request)), ElementsAre("file c/x"));
  request.after = "c";
  EXPECT_THAT(lines(list(request)), ElementsAre("file c/x"));
}

TEST_P(FileListTest, AFolderThatIsMissingIsToldApartFromAFile) {
  write_text(base() / "a", "base\n");
  after("ln -s / out; mkdir .git");
  for (const auto& [path, reason] : std::vector<std::pair<std::string, std::string>>{
           {"nothing", "file_not_found"}, {"a", "not_a_folder"}, {"out", "not_a_folder"},
           {"out/etc", "file_not_found"}, {"a/b", "file_not_found"}, {".git", "file_not_found"}}) {
    FileRequest request;
    request.path = path;
    const auto refused = list_files(view(), request);
    ASSERT_FALSE(refused) << path;
    EXPECT_EQ(reason, refused.error().reason) << path;
  }
}

TEST_P(FileListTest, LimitsHoldInBytesNamesDepthAndTime) {
  after("mkdir -p a/b/c/d; for i in $(seq 30); do : > f$i; done");
  FileListLimits small, few, flat, late;
  small.page_bytes = 400;
  few.names = 10;
  flat.depth = 2;
  late.wall_time = std::chrono::milliseconds(-1);
  const auto page = list(everything(), small);
  EXPECT_LT(page.at("items").as_array().size(), 6u);
  EXPECT_TRUE(page.contains("nextCursor"));
  EXPECT_TRUE(list(everything(), few).at("truncated").as_bool());
  const auto shallow = list(everything(), flat);
  EXPECT_TRUE(shallow.at("truncated").as_bool());
  EXPECT_THAT(lines(shallow), testing::Contains("folder a/b/c"));
  EXPECT_THAT(lines(shallow), testing::Not(testing::Contains("folder a/b/c/d")));
  EXPECT_TRUE(list(everything(), late).contains("truncated"));
}

TEST_P(FileListTest, ManyFilesAreListedByThePage) {
  after("python3 -c \"[open('f%05d' % i, 'w').close() for i in range(20000)]\"");
  auto request = everything();
  request.after = "f19990";
  EXPECT_THAT(list(request).at("items").as_array(), SizeIs(9));
  EXPECT_EQ("f00999", list(everything()).at("nextCursor").as_string());
}

TEST_P(FileListTest, ContentsThatTakeTooLongToCompareCountAsChanged) {
  write_text(base() / "a", "base\n");
  after("touch a");
  FileListLimits hasty;
  hasty.compare_time = std::chrono::milliseconds(-1);
  EXPECT_THAT(lines(list(everything(), hasty)), ElementsAre("file a [ M]"));
  EXPECT_THAT(lines(list(everything())), ElementsAre("file a"));
}

}  // namespace
}  // namespace agentrouter::workspace
