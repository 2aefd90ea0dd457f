#include "workspace/image.h"

#include <sched.h>
#include <sys/wait.h>

#include "base/hash.h"
#include "workspace/archive_test.h"

namespace agentrouter::workspace {
namespace {

using testing::HasSubstr;

// Layouts made layer by layer.
class Image : public ArchiveTest {
 protected:
  Image() { fs::create_directories(layout() / "blobs/sha256"); }

  fs::path layout() const { return root / "layout"; }
  fs::path rootfs() const { return tree() / "rootfs"; }

  std::string put_blob(const std::string& bytes) const {
    const auto hex = base::Sha256::hex_of(bytes);
    write_text(layout() / "blobs/sha256" / hex, bytes);
    return "sha256:" + hex;
  }
  json::object descriptor(const std::string& digest) const {
    return {{"mediaType", "x"}, {"digest", digest}, {"size", 1}};
  }
  void add_layer(const json::array& entries, const std::string& form = "tar.gz") {
    make(form, entries);
    layers.push_back(put_blob(read_text(archive())));
  }
  json::object config() const {
    json::array ids;
    for (const auto& layer : layers) ids.emplace_back(layer);
    return {{"os", "linux"},
            {"architecture", "amd64"},
            {"config", json::object{{"Env", json::array{"PATH=/opt/x:/bin", "A=b=c"}}}},
            {"rootfs", json::object{{"type", "layers"}, {"diff_ids", ids}}}};
  }
  std::string put_manifest(const json::object& configuration) const {
    json::array all;
    for (const auto& layer : layers) all.push_back(descriptor(layer));
    return put_blob(base::to_text(json::object{
        {"schemaVersion", 2}, {"config", descriptor(put_blob(base::to_text(configuration)))}, {"layers", all}}));
  }
  void write_index(const std::vector<json::object>& manifests) const {
    json::array all;
    for (const auto& one : manifests) all.push_back(one);
    write_text(layout() / "index.json", base::to_text(json::object{{"schemaVersion", 2}, {"manifests", all}}));
    write_text(layout() / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
  }
  void finish() { write_index({descriptor(digest = put_manifest(config()))}); }

  base::Result<ImageReport> unpack_from(const fs::path& source, const std::string& wanted = {}) const {
    fs::remove_all(tree());
    fs::create_directories(tree());
    const base::Fd from(::open(source.c_str(), O_RDONLY | O_CLOEXEC));
    const base::Fd to(::open(tree().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return unpack_image({from.get(), to.get()}, wanted, limits);
  }
  base::Result<ImageReport> unpack_layout(const std::string& wanted = {}) const { return unpack_from(layout(), wanted); }
  std::string reason(const std::string& wanted = {}) const {
    const auto report = unpack_layout(wanted);
    return report ? "unpacked" : report.error().reason + ": " + report.error().message + report.error().details;
  }

  std::vector<std::string> layers;
  std::string digest;
  ImageLimits limits;
};

TEST_F(Image, LayersLieOnEachOtherAndDeleteWhatIsBelow) {
  add_layer({folder("etc", 0755), file("etc/kept", "1"), file("etc/gone", "1"), file("etc/new", "old"),
             folder("opaque", 0755), file("opaque/below", "1"), folder("both", 0755), file("both/sub/x", "1"),
             link("bin", "usr/bin"), folder("usr/bin", 0755), file("turns", "file")});
  add_layer({file("etc/.wh.gone", ""), file("etc/new", "new", 0755), file("opaque/inside", "2"), file("opaque/.wh..wh..opq", ""),
             file("both/.wh.sub", ""), file("both/sub/y", "2"), file("bin/tool", "t", 0755), file("turns/into", "folder")},
            "tar");
  // A file in the way of a folder is taken away by a folder's entry of its own.
  EXPECT_THAT((finish(), reason()), HasSubstr("image_refused"));
  layers.pop_back();
  add_layer({file("etc/.wh.gone", ""), file("etc/new", "new", 0755), file("opaque/inside", "2"), file("opaque/.wh..wh..opq", ""),
             file("both/.wh.sub", ""), file("both/sub/y", "2"), file("bin/tool", "t", 0755), folder("turns", 0755),
             file("turns/into", "folder")});
  finish();
  const auto report = unpack_layout();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->digest, digest);
  EXPECT_EQ(report->environment, (std::vector<std::string>{"PATH=/opt/x:/bin", "A=b=c"}));
  EXPECT_EQ(report->shell, "/bin/sh");
  EXPECT_EQ(read_text(rootfs() / "etc/kept"), "1");
  EXPECT_FALSE(fs::exists(rootfs() / "etc/gone"));
  EXPECT_EQ(read_text(rootfs() / "etc/new"), "new");
  EXPECT_FALSE(fs::exists(rootfs() / "opaque/below"));
  EXPECT_EQ(read_text(rootfs() / "opaque/inside"), "2");
  EXPECT_FALSE(fs::exists(rootfs() / "both/sub/x"));
  EXPECT_EQ(read_text(rootfs() / "both/sub/y"), "2");
  EXPECT_EQ(read_text(rootfs() / "usr/bin/tool"), "t") << "a link of the image is followed inside it";
  EXPECT_EQ(read_text(rootfs() / "turns/into"), "folder");
}

TEST_F(Image, NothingLeadsOutOfTheRoot) {
  add_layer({link("out", "/../../../../" + (root / "outside").string()), link("up", "../../../.."),
             link("abs", (root / "outside").string())});
  add_layer({file("up/below-root", "x"), file("abs/.wh.secret", "")});
  finish();
  ASSERT_EQ(reason(), "unpacked");
  EXPECT_EQ(read_text(rootfs() / "below-root"), "x") << "above the root is the root";
  EXPECT_EQ(read_text(root / "outside/secret"), "untouched");
  for (const auto* name : {"../x", "a/../../x", "/../x"}) {
    layers.clear();
    add_layer({file(name, "x")});
    finish();
    EXPECT_THAT(reason(), HasSubstr("image_refused")) << name;
  }
  layers.clear();
  add_layer({link("dangling", "nowhere"), file("dangling/x", "x")});
  finish();
  EXPECT_THAT(reason(), HasSubstr("image_refused"));
  layers.clear();
  add_layer({file("a", "x"), link("b", "../../outside/secret", "hard")});
  finish();
  EXPECT_THAT(reason(), HasSubstr("image_refused"));
  for (const auto* name : {".wh.", ".wh..", ".wh..."}) {
    layers.clear();
    add_layer({file("keep", "x")});
    add_layer({file(name, "")});
    finish();
    EXPECT_THAT(reason(), HasSubstr(std::string(name) == ".wh..." ? "image_refused" : "image_refused")) << name;
  }
}

TEST_F(Image, WhatIsSkippedCountsAsWell) {
  limits.files.bytes = 1 << 20;
  const auto large = [](std::string_view name) {
    return json::object{{"type", "file"}, {"name", name}, {"zeros", 2 << 20}};
  };
  add_layer({file("a", "x"), large(".")});
  finish();
  EXPECT_THAT(reason(), testing::AllOf(HasSubstr("image_limit"), HasSubstr("\"bytes\"")));
  EXPECT_FALSE(fs::exists(rootfs() / "a")) << "already while it looks for deletions";
  limits = {};
  limits.files.ratio = 10;
  limits.files.ratio_free = 1 << 20;
  EXPECT_THAT(reason(), testing::AllOf(HasSubstr("image_limit"), HasSubstr("ratio")));
  // Each layer is small, all of them are not.
  limits = {};
  limits.files.bytes = 3 << 20;
  layers.clear();
  add_layer({large(".")});
  finish();
  EXPECT_EQ(reason(), "unpacked");
  add_layer({large("./")});
  finish();
  EXPECT_THAT(reason(), testing::AllOf(HasSubstr("image_limit"), HasSubstr("\"bytes\"")));
}

TEST_F(Image, ADeletionHasNoContent) {
  for (const auto* name : {".wh.a", ".wh..wh..opq", ".wh..wh.aufs"}) {
    layers.clear();
    add_layer({file("a", "x")});
    add_layer({file(name, "x")});
    finish();
    EXPECT_THAT(reason(), HasSubstr("image_refused")) << name;
  }
}

TEST_F(Image, FoldersThatALayerOnlyImpliesAreForAllWhateverTheUmask) {
  const auto before = ::umask(077);
  add_layer({file("implied/deep/file", "x")});
  finish();
  EXPECT_EQ(reason(), "unpacked");
  ::umask(before);
  for (const auto* name : {"implied", "implied/deep"}) {
    struct stat info{};
    ASSERT_EQ(::stat((rootfs() / name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0755u) << name;
  }
}

TEST_F(Image, DevicesAreLeftOutAndSetuidBitsDropped) {
  add_layer({json::object{{"type", "device"}, {"name", "dev/sda"}}, json::object{{"type", "fifo"}, {"name", "pipe"}},
             file("su", "x", 06755), folder("shared", 02777)});
  finish();
  const auto report = unpack_layout();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->left_out, 2u);
  struct stat info{};
  ASSERT_EQ(::stat((rootfs() / "su").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0755u);
  ASSERT_EQ(::stat((rootfs() / "shared").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0777u);
  EXPECT_FALSE(fs::exists(rootfs() / "pipe"));
}

TEST_F(Image, EveryDigestIsChecked) {
  add_layer({file("a", "x")});
  finish();
  const auto spoil = [this](const std::string& blob) {
    const auto path = layout() / "blobs/sha256" / blob.substr(7);
    const auto before = read_text(path);
    write_text(path, before + " ");
    const auto why = reason();
    write_text(path, before);
    return why;
  };
  EXPECT_THAT(spoil(layers[0]), HasSubstr("image_digest"));
  EXPECT_THAT(spoil(digest), HasSubstr("image_digest"));
  EXPECT_THAT(spoil("sha256:" + base::Sha256::hex_of(base::to_text(config()))), HasSubstr("image_digest"));
  EXPECT_EQ(reason(), "unpacked");
  fs::remove(layout() / "blobs/sha256" / layers[0].substr(7));
  EXPECT_THAT(reason(), HasSubstr("image_unreadable"));
}

TEST_F(Image, ThePlatformsImageIsChosenOrTheOneThatIsNamed) {
  add_layer({file("first", "x")});
  auto other = config();
  other["architecture"] = "arm64";
  const auto arm = put_manifest(other);
  const auto first = put_manifest(config());
  layers.clear();
  add_layer({file("second", "x")});
  const auto second = put_manifest(config());
  const auto for_platform = [&](const std::string& one, const char* architecture) {
    auto made = descriptor(one);
    made["platform"] = json::object{{"os", "linux"}, {"architecture", architecture}};
    return made;
  };
  write_index({for_platform(arm, "arm64"), for_platform(first, "amd64")});
  ASSERT_EQ(reason(), "unpacked");
  EXPECT_TRUE(fs::exists(rootfs() / "first"));
  // An index in the index.
  const auto inner = put_blob(base::to_text(json::object{{"manifests", json::array{for_platform(arm, "arm64"), for_platform(second, "amd64")}}}));
  write_index({descriptor(inner), for_platform(first, "amd64")});
  EXPECT_THAT(reason(), testing::AllOf(HasSubstr("image_ambiguous"), HasSubstr(first), HasSubstr(second)));
  ASSERT_EQ(reason(inner), "unpacked");
  EXPECT_TRUE(fs::exists(rootfs() / "second"));
  ASSERT_EQ(reason(first), "unpacked");
  EXPECT_TRUE(fs::exists(rootfs() / "first"));
  EXPECT_THAT(reason(arm), HasSubstr("not for linux/amd64"));
  EXPECT_THAT(reason("sha256:" + std::string(64, '0')), HasSubstr("image_ambiguous"));
  write_index({for_platform(arm, "arm64")});
  EXPECT_THAT(reason(), HasSubstr("there is no image for linux/amd64"));
}

// Another process overwrites the end of a layer as soon as its first file is there.
TEST_F(Image, WhatIsUnpackedIsWhatWasCheckedWhateverBecomesOfTheSource) {
  constexpr std::size_t size = 24u << 20, tail = 1u << 20;
  add_layer({file("first", "x"), json::object{{"type", "file"}, {"name", "last"}, {"zeros", size}}}, "tar");
  finish();
  const auto blob = layout() / "blobs/sha256" / layers[0].substr(7);
  const auto first = rootfs() / "first";
  const auto end = static_cast<off_t>(fs::file_size(blob)) - static_cast<off_t>(2 * tail);
  const std::string noise(tail, 'B');
  fs::remove_all(tree());
  const pid_t writer = ::fork();
  if (writer == 0) {
    const int out = ::open(blob.c_str(), O_WRONLY | O_CLOEXEC);
    while (::access(first.c_str(), F_OK) != 0) ::sched_yield();
    ::_exit(::pwrite(out, noise.data(), noise.size(), end) == static_cast<ssize_t>(noise.size()) ? 0 : 1);
  }
  EXPECT_EQ(reason(), "unpacked");
  int status = -1;
  ASSERT_EQ(::waitpid(writer, &status, 0), writer);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(read_text(rootfs() / "last") == std::string(size, '\0'));
  EXPECT_EQ(std::distance(fs::directory_iterator(tree()), {}), 1) << "no copy is left";
}

TEST_F(Image, ArchivesOfALayoutAndOfDockerSave) {
  add_layer({file("a", "x")}, "tar");
  finish();
  ASSERT_EQ(0, shell("tar -C " + layout().string() + " -cf " + (root / "image.tar").string() + " ."));
  limits.files.disk_reserve = ~0ull;
  EXPECT_EQ(unpack_from(root / "image.tar").error().reason, "disk_reserve");
  limits = {};
  auto report = unpack_from(root / "image.tar");
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->digest, digest);
  EXPECT_FALSE(fs::exists(tree() / "parts"));
  const auto text = base::to_text(config());
  const auto hex = base::Sha256::hex_of(text);
  fs::create_directories(root / "saved/layer");
  fs::copy_file(archive(), root / "saved/layer/layer.tar");
  write_text(root / "saved" / (hex + ".json"), text);
  write_text(root / "saved/manifest.json", base::to_text(json::array{json::object{
                                               {"Config", hex + ".json"}, {"Layers", json::array{"layer/layer.tar"}}}}));
  const auto save = "tar -C " + (root / "saved").string() + " -czf " + (root / "saved.tar.gz").string() + " .";
  ASSERT_EQ(0, shell(save));
  report = unpack_from(root / "saved.tar.gz");
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->digest, "sha256:" + hex);
  EXPECT_EQ(read_text(rootfs() / "a"), "x");
  write_text(root / "saved/layer/layer.tar", "something else");
  ASSERT_EQ(0, shell(save));
  EXPECT_EQ(unpack_from(root / "saved.tar.gz").error().reason, "image_digest");
}

TEST_F(Image, WhatASavedImageLacksIsSaid) {
  fs::create_directories(root / "saved");
  write_text(root / "saved/manifest.json", R"([{"Config":"config.json","Layers":[]}])");
  const auto error = unpack_from(root / "saved").error();
  EXPECT_EQ(error.code, base::Code::invalid);
  EXPECT_THAT(error.message, HasSubstr("no file config.json"));
  write_text(root / "saved/config.json", "{");
  EXPECT_EQ(unpack_from(root / "saved").error().reason, "image_unreadable");
}

TEST_F(Image, WhatIsNoImageIsSaid) {
  EXPECT_THAT(reason(), testing::AllOf(HasSubstr("image_unreadable"), HasSubstr("skopeo")));
  write_text(root / "noise", "no archive at all");
  EXPECT_EQ(unpack_from(root / "noise").error().reason, "image_unreadable");
  for (const auto* index : {"", "[]", "{}", R"({"manifests":{}})", R"({"manifests":[1]})", R"({"manifests":[{"digest":"sha256:../../x"}]})",
                            R"({"manifests":[{"digest":"md5:00"}]})"}) {
    write_text(layout() / "index.json", index);
    EXPECT_THAT(reason(), HasSubstr("image_unreadable")) << index;
  }
  const auto loop = put_blob(R"({"manifests":[]})");
  write_index({descriptor(loop)});
  EXPECT_THAT(reason(), HasSubstr("image_ambiguous"));
  write_index({descriptor(put_blob(R"({"layers":[]})"))});
  EXPECT_THAT(reason(), HasSubstr("no configuration"));
  add_layer({file("a", "x")});
  auto odd = config();
  odd["config"] = json::object{{"Env", json::array{"no value"}}};
  write_index({descriptor(put_manifest(odd))});
  EXPECT_THAT(reason(), HasSubstr("NAME=value"));
  odd = config();
  odd["rootfs"] = json::object{{"diff_ids", json::array{}}};
  write_index({descriptor(put_manifest(odd))});
  EXPECT_THAT(reason(), HasSubstr("does not list its layers"));
  layers = {put_blob("this is no tar at all, whatever else it may be")};
  finish();
  EXPECT_THAT(reason(), HasSubstr("image_unreadable"));
}

TEST_F(Image, EachLimitIsReached) {
  add_layer({file("a", "12345"), file("b", "12345"), file("c/d/e", "1")});
  finish();
  const auto with = [this](const ImageLimits& wanted) {
    limits = wanted;
    return reason();
  };
  ImageLimits small;
  small.files.entries = 3;
  EXPECT_THAT(with(small), testing::AllOf(HasSubstr("image_limit"), HasSubstr("entries")));
  small = {};
  small.files.bytes = 9;
  EXPECT_THAT(with(small), testing::AllOf(HasSubstr("image_limit"), HasSubstr("\"bytes\"")));
  small = {};
  small.files.depth = 2;
  EXPECT_THAT(with(small), testing::AllOf(HasSubstr("image_limit"), HasSubstr("depth")));
  small = {};
  small.files.wall_time = std::chrono::milliseconds(0);
  EXPECT_THAT(with(small), testing::AllOf(HasSubstr("image_limit"), HasSubstr("seconds")));
  small = {};
  small.layers = 0;
  EXPECT_THAT(with(small), testing::AllOf(HasSubstr("image_limit"), HasSubstr("layers")));
  small = {};
  small.document_bytes = 10;
  EXPECT_THAT(with(small), HasSubstr("image_limit"));
  small = {};
  small.environment_bytes = 10;
  EXPECT_THAT(with(small), HasSubstr("environment is too long"));
  small = {};
  small.environment_entries = 1;
  EXPECT_THAT(with(small), testing::AllOf(HasSubstr("image_limit"), HasSubstr("too many variables")));
  small = {};
  small.files.disk_reserve = ~0ull;
  EXPECT_THAT(with(small),
              testing::AllOf(HasSubstr("disk_reserve"), HasSubstr("bytes of the disk are free")));
  layers.clear();
  add_layer({json::object{{"type", "file"}, {"name", "zeros"}, {"zeros", 8 << 20}}});
  finish();
  small = {};
  small.files.ratio = 10;
  small.files.ratio_free = 1 << 20;
  EXPECT_THAT(with(small), testing::AllOf(HasSubstr("image_limit"), HasSubstr("ratio")));
}

TEST_F(Image, AReportIsReadAsItWasWritten) {
  const ImageReport report{.digest = "sha256:" + std::string(64, 'a'), .environment = {"A=b"}, .shell = "/bin/sh",
                           .content = {.files = 1, .folders = 2, .bytes = 3}, .left_out = 4};
  const auto again = parse_image_report(to_json(report));
  ASSERT_TRUE(again);
  EXPECT_EQ(to_json(*again), to_json(report));
  EXPECT_FALSE(parse_image_report(R"({"files":1,"folders":1,"bytes":1})"));
  EXPECT_FALSE(is_image_digest("sha256:" + std::string(64, 'G')));
  EXPECT_FALSE(is_image_digest("sha256:abc"));
}

}  // namespace
}  // namespace agentrouter::workspace
