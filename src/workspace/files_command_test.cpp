#include "workspace/files_command.h"

#include <gmock/gmock.h>

#include "workspace/file_archive.h"
#include "workspace/file_view_test.h"

namespace agentrouter::workspace {
namespace {

using testing::HasSubstr;

class FilesCommandTest : public FilesTest {
 protected:
  static FileRequest archive_of(FileRequest::Files files = FileRequest::Files::all,
                                FileRequest::Format format = FileRequest::Format::tar_gz) {
    FileRequest request;
    request.what = FileRequest::What::archive;
    request.files = files;
    request.format = format;
    return request;
  }
  // What tar(1) makes of it.
  std::string unpacked(const Said& said, const std::string& list) const {
    write_text(root / "out.tar", said.content);
    const auto place = (root / "unpacked").string();
    fs::remove_all(place);
    fs::create_directories(place);
    if (shell("cd " + place + " && tar --zstd -xf ../out.tar 2>/dev/null || tar -xzf ../out.tar") != 0) return "no archive";
    (void)shell("cd " + place + " && { " + list + "; } > " + (root / "listed").string());
    return read_text(root / "listed");
  }
  static constexpr const char* tree = "find . -mindepth 1 -printf '%P %y %m %l\\n' | LC_ALL=C sort";
};
INSTANTIATE_TEST_SUITE_P(Everywhere, FilesCommandTest, testing::Values("live", "kept"),
                         [](const auto& info) { return info.param; });

TEST_P(FilesCommandTest, AFileComesAsItIsFromEitherLayer) {
  write_text(base() / "base.txt", "of the base\n");
  after("head -c 200000 /dev/zero | tr '\\0' 'x' > big; mkdir d; printf '\\0\\377' > d/raw; : > empty; echo h > h1; ln h1 h2");
  EXPECT_EQ("of the base\n", read("base.txt").content);
  EXPECT_EQ(std::string(200000, 'x'), read("big").content);
  EXPECT_EQ(std::string("\0\377", 2), read("d/raw").content);
  EXPECT_EQ("h\n", read("h2").content);
  const auto empty = read("empty");
  EXPECT_EQ("", empty.content);
  EXPECT_TRUE(empty.whole);
  EXPECT_EQ(0, empty.head.at("size").as_int64());
  EXPECT_EQ("100644", empty.head.at("mode").as_string());
}

TEST_P(FilesCommandTest, APartOfAFile) {
  write_text(base() / "a", "0123456789");
  after("printf abcdefghij > b");
  for (const auto* name : {"a", "b"}) {
    const auto whole = read(name).content;
    EXPECT_EQ(whole.substr(3, 4), read(name, 3, 4).content);
    EXPECT_EQ(whole.substr(8), read(name, 8, 100).content);
    EXPECT_EQ(whole.substr(9), read(name, 9).content);
    EXPECT_EQ("range_not_satisfiable", reason(read(name, 10)));
    EXPECT_EQ(2, read(name, 8, 100).head.at("length").as_int64());
  }
}

TEST_P(FilesCommandTest, WhatIsNoFileIsDescribedAndNothingIsFollowed) {
  write_text(outside() / "secret", "of the host");
  after("ln -s " + outside().string() + "/secret link; ln -s " + outside().string() +
        " folder-link; mkdir folder; echo x > folder/x; mkdir -p .git; echo x > .git/config; mkfifo pipe");
  const auto link = read("link");
  EXPECT_EQ("not_a_file", reason(link));
  EXPECT_THAT(base::to_text(link.head), HasSubstr(R"(\"type\":\"link\",\"target\":\")" + outside().string()));
  EXPECT_EQ("not_a_file", reason(read("folder")));
  EXPECT_EQ("file_not_found", reason(read("folder-link/secret")));
  EXPECT_EQ("file_not_found", reason(read("nothing")));
  EXPECT_EQ("file_not_found", reason(read(".git/config")));
  EXPECT_EQ("file_not_found", reason(read("folder/x/y")));
  EXPECT_EQ(GetParam() == "live" ? "not_a_file" : "file_not_found", reason(read("pipe")));
}

TEST_P(FilesCommandTest, WhatIsDeletedIsNotThere) {
  for (const auto* name : {"a", "d/x", "e/y"}) write_text(base() / name, "base\n");
  after("rm a; rm -r d; rm -r e; mkdir e");
  for (const auto* name : {"a", "d/x", "e/y"}) EXPECT_EQ("file_not_found", reason(read(name)));
}

// What a checkpoint does not take, or what does not change once it is kept.
class LiveFilesCommandTest : public FilesCommandTest {};
INSTANTIATE_TEST_SUITE_P(Live, LiveFilesCommandTest, testing::Values("live"));

TEST_P(LiveFilesCommandTest, ASparseGiantIsRefusedAndReadInParts) {
  after("truncate -s 8T giant");
  const auto said = read("giant");
  EXPECT_EQ("file_too_large", reason(said));
  const auto part = read("giant", 7ull << 40, 3);
  EXPECT_EQ(std::string(3, '\0'), part.content);
  EXPECT_TRUE(part.whole);
}

TEST_P(FilesCommandTest, AnAnswerOverItsLimitIsRefused) {
  write_text(base() / "a", "12345");
  after("true");
  FileRequest request;
  request.what = FileRequest::What::read;
  request.path = "a";
  FileReadLimits limits;
  limits.bytes = 4;
  EXPECT_EQ("file_too_large", reason(ask(request, limits)));
  request.length = 4;
  EXPECT_EQ("1234", ask(request, limits).content);
}

TEST_P(LiveFilesCommandTest, AFileThatShrinksWhileItIsReadCutsTheAnswer) {
  after("head -c 100000 /dev/zero > a");
  const auto now = view();
  const auto found = now.stat("a");
  ASSERT_TRUE(found);
  fs::resize_file(root / "stack/0/a", 70000);
  std::uint64_t came = 0;
  const auto read = now.read("a", *found, 0, 100000, [&](std::string_view piece) {
    came += piece.size();
    return base::Result<void>();
  });
  EXPECT_FALSE(read);
  EXPECT_EQ(70000u, came);
}

TEST_P(FilesCommandTest, TheArchiveIsTheWorkspace) {
  for (const auto* name : {"a", "d/x", "gone"}) write_text(base() / name, "base\n");
  after(R"sh(mkdir .git; echo x > .git/config; rm gone; echo new > d/new; ln -s ../a d/link; chmod 755 d/new; chmod 600 a; mkdir empty
             echo n > "$(printf 'odd\377')"; echo h > h1; ln h1 h2; echo ignored > x.log; echo '*.log' > .gitignore)sh");
  for (const auto format : {FileRequest::Format::tar_gz, FileRequest::Format::tar_zst}) {
    const auto said = ask(archive_of(FileRequest::Files::all, format));
    EXPECT_TRUE(said.whole);
    EXPECT_EQ(".gitignore f 644 \na f 600 \nd d 755 \nd/link l 777 ../a\nd/new f 755 \nd/x f 644 \nempty d 755 \n"
              "h1 f 644 \nh2 f 644 \nodd\xff f 644 \nx.log f 644 \n",
              unpacked(said, tree));
    EXPECT_EQ("base\nnew\nh\n", unpacked(said, "cat d/x d/new h2"));
  }
}

TEST_P(FilesCommandTest, TheChangesAloneAreWhatTheIndexNames) {
  for (const auto* name : {"a", "d/x", "gone", "same"}) write_text(base() / name, "base\n");
  commit_base();
  after("rm gone; echo new > d/new; ln -s a link; touch same; echo more >> a; echo ignored > x.log; echo '*.log' > .gitignore");
  EXPECT_EQ(".gitignore f 644 \na f 644 \nd d 755 \nd/new f 644 \nlink l 777 a\n",
            unpacked(ask(archive_of(FileRequest::Files::changed)), tree));
}

TEST_P(FilesCommandTest, WhatDoesNotFitAnArchiveIsNamedInIt) {
  after("mkfifo pipe; echo small > small; seq 1 2000 > large; mkdir -p x/y/z; echo deep > x/y/z/deep");
  FileArchiveLimits limits;
  limits.file_bytes = 100;
  limits.depth = 2;
  const base::Fd fd(::open((root / "answer").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  FrameWriter out(fd.get());
  ASSERT_TRUE(out.head({}));
  const auto request = archive_of();
  ASSERT_TRUE(archive_files(view(), request, out, limits));
  const auto said = parse(read_text(root / "answer"));
  const auto note = unpacked(said, "cat agentrouter-left-out.txt small; ls");
  EXPECT_THAT(note, HasSubstr("large: it is larger than 100 bytes\n"));
  EXPECT_THAT(note, HasSubstr("x/y/z: it cannot be read or lies too deep\n"));
  if (GetParam() == "live") {
    EXPECT_THAT(note, HasSubstr("pipe: it is no file, folder or link\n"));
  }
  EXPECT_THAT(note, HasSubstr("small\n"));
}

TEST_P(FilesCommandTest, TheArchiveEndsAtItsLimits) {
  after("for i in 1 2 3 4; do echo 12345 > f$i; done");
  FileArchiveLimits small, few, late;
  small.bytes = 20;
  few.entries = 3;
  late.wall_time = std::chrono::milliseconds(-1);
  const base::Fd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  const auto request = archive_of();
  for (const auto* limits : {&small, &few, &late}) {
    FrameWriter out(null.get());
    EXPECT_FALSE(archive_files(view(), request, out, *limits));
  }
  const base::Fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  FrameWriter out(full.get());
  EXPECT_FALSE(archive_files(view(), request, out));
}

TEST_P(FilesCommandTest, AnArchiveThatFailsHasNoEnd) {
  after("echo 1 > a; chmod 000 a");
  auto request = archive_of();
  const base::Fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  FrameWriter out(full.get());
  EXPECT_FALSE(answer_files(view(), request, out));
}

TEST_P(FilesCommandTest, TheSubcommandAnswersOnItsDescriptors) {
  write_text(base() / "a", "base\n");
  after("echo more >> a");
  FileRequest request;
  request.what = FileRequest::What::read;
  request.path = "a";
  for (const std::string& text : {to_json(request), std::string("nonsense"), std::string(300'000, 'x')}) {
    const pid_t child = ::fork();
    if (child == 0) {
      const int out = ::open((root / "answer").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      const auto asked = base::make_memory_file(text);
      const int safe[] = {::fcntl(base_fd_.get(), F_DUPFD, 100), ::fcntl(state_fd_.get(), F_DUPFD, 100),
                          ::fcntl(out, F_DUPFD, 100), ::fcntl(asked->get(), F_DUPFD, 100)};
      ::dup2(safe[0], files_fd::base);
      ::dup2(safe[1], files_fd::state);
      ::dup2(safe[2], files_fd::out);
      ::dup2(safe[3], files_fd::request);
      ::_exit(run_files(GetParam()));
    }
    int status = 0;
    ASSERT_EQ(child, ::waitpid(child, &status, 0));
    EXPECT_EQ(0, WEXITSTATUS(status));
    const auto said = parse(read_text(root / "answer"));
    const bool asked_well = text.starts_with('{');
    EXPECT_EQ(asked_well ? "base\nmore\n" : "", said.content);
    EXPECT_EQ(asked_well, !said.head.contains("error"));
  }
}

TEST(FileRequest, IsReadAsItWasWritten) {
  FileRequest request;
  request.what = FileRequest::What::read;
  request.path = "a\xff\\x/ü";
  request.after = "b";
  request.offset = 5;
  request.length = 6;
  request.format = FileRequest::Format::tar_zst;
  request.files = FileRequest::Files::changed;
  request.depth = FileRequest::Depth::all;
  const auto again = parse_file_request(to_json(request));
  ASSERT_TRUE(again);
  EXPECT_EQ(to_json(request), to_json(*again));
  EXPECT_EQ(request.path, again->path);
}

TEST(FileRequest, PathsThatLeadElsewhereAreRefused) {
  for (const std::string bad : {"/a", "a/", "a//b", ".", "..", "a/../b", "../a"})
    EXPECT_FALSE(is_file_path(bad)) << bad;
  EXPECT_FALSE(is_file_path(std::string("a\0b", 3)));
  EXPECT_TRUE(is_file_path(std::string(256, 'n')));
  EXPECT_FALSE(is_file_path(""));
  std::string deep = "a";
  while (deep.size() <= 16400) deep += "/aaaaaaaaaaaaaaaaaaa";
  EXPECT_FALSE(is_file_path(deep));
  EXPECT_TRUE(is_file_path("...a/ b/\xff"));
}

TEST(FileRequest, ErrorsTravelInTheHead) {
  const base::Error error{base::Code::not_found, "no \x01 file", "file_not_found", R"({"a":1})"};
  const auto back = parse_head(base::to_text(error_head(error)));
  ASSERT_FALSE(back);
  EXPECT_EQ(base::Code::not_found, back.error().code);
  EXPECT_EQ("no ? file", back.error().message);
  EXPECT_EQ("file_not_found", back.error().reason);
  EXPECT_EQ(R"({"a":1})", back.error().details);
  EXPECT_EQ(base::Code::corrupt, parse_head("[]").error().code);
}

TEST(FileRequest, OfWhatAReaderTellsOnlyReasonsOfFilesAreBelieved) {
  const auto told = [](base::Error error) {
    const auto back = parse_files_head(base::to_text(error_head(error)));
    return back ? std::string("a head")
                : std::string(base::to_string(back.error().code)) + " " + back.error().reason;
  };
  EXPECT_EQ("not_found file_not_found", told({base::Code::internal, "m", "file_not_found"}));
  EXPECT_EQ("conflict not_a_file", told({base::Code::conflict, "m", "not_a_file"}));
  EXPECT_EQ("conflict not_a_folder", told({base::Code::conflict, "m", "not_a_folder"}));
  EXPECT_EQ("exhausted file_too_large", told({base::Code::exhausted, "m", "file_too_large"}));
  EXPECT_EQ("invalid range_not_satisfiable", told({base::Code::invalid, "m", "range_not_satisfiable"}));
  for (const std::string foreign : {"unauthorized", "run_deleted", "internal_error", "made_up"})
    EXPECT_EQ("unavailable ", told({base::Code::denied, "m", foreign})) << foreign;
  EXPECT_EQ("corrupt ", told({base::Code::corrupt, "m", "made_up"}));
  EXPECT_EQ("unavailable ", told({base::Code::invalid, "m"}));
  EXPECT_EQ(3, parse_files_head(R"({"size":3})")->at("size").as_int64());
  EXPECT_EQ(base::Code::corrupt, parse_files_head("[]").error().code);
}

TEST(FileRequest, DetailsOfAReaderAreAJsonObjectOrNone) {
  const auto details = [](std::string text) {
    return parse_files_head(
               base::to_text(error_head({base::Code::conflict, "m", "not_a_file", std::move(text)})))
        .error()
        .details;
  };
  EXPECT_EQ(R"({"type":"link"})", details(R"( { "type" : "link" } )"));
  for (const std::string bad : {"{},\"code\":\"forged\"", "[1]", "1", "{", "null", R"({"a":1}})"})
    EXPECT_EQ("", details(bad)) << bad;
  EXPECT_EQ("", details(R"({"a":")" + std::string(40'000, 'x') + R"("})"));
}

TEST(FileRequest, MessagesOfAReaderAreShortAndPlain) {
  const auto back =
      parse_files_head(R"({"error":{"code":"conflict","reason":"not_a_file","message":"a\u001b[31m\nb)" +
                       std::string(4000, 'x') + R"("}})");
  EXPECT_EQ("a?[31m?b", back.error().message.substr(0, 8));
  EXPECT_EQ(500u, back.error().message.size());
}

}  // namespace
}  // namespace agentrouter::workspace
