#include "workspace/zip.h"

#include "workspace/archive_test.h"

namespace agentrouter::workspace {
namespace {

using testing::HasSubstr;

class Zip : public ArchiveTest {
 protected:
  // As another tool would write it.
  void python(const std::string& program) {
    write_text(root / "zip.py", "import zipfile, sys, struct\nout = sys.argv[1]\n" + program);
    ASSERT_EQ(0, shell("/usr/bin/python3 " + (root / "zip.py").string() + " " + archive().string()));
  }
};

TEST_F(Zip, StoredEntriesAndAnEmptyArchiveAreRead) {
  python("z = zipfile.ZipFile(out, 'w'); z.writestr('a', 'stored'); z.writestr('b/', ''); z.close()\n");
  ASSERT_TRUE(unpack_here());
  EXPECT_EQ("stored", read_text(tree() / "a"));
  EXPECT_TRUE(fs::is_directory(tree() / "b"));
  python("zipfile.ZipFile(out, 'w').close()\n");
  const auto report = unpack_here();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(0u, report->files);
}

TEST_F(Zip, CommentsAndZip64AreRead) {
  python(
      "z = zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED)\n"
      "z.comment = b'PK\\5\\6 a comment that looks like an end' * 9\n"
      "with z.open('big', 'w', force_zip64=True) as f: f.write(b'x' * 300000)\n"
      "z.close()\n");
  const auto report = unpack_here();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(300'000u, fs::file_size(tree() / "big"));
}

TEST_F(Zip, AStreamedArchiveIsReadByItsDirectory) {
  python(
      "import io\n"
      "class Pipe(io.RawIOBase):\n"
      "  def __init__(self): self.f = open(out, 'wb')\n"
      "  def writable(self): return True\n"
      "  def write(self, b): return self.f.write(b)\n"
      "  def flush(self): self.f.flush()\n"
      "z = zipfile.ZipFile(Pipe(), 'w', zipfile.ZIP_DEFLATED); z.writestr('a', 'y' * 5000); z.close()\n");
  ASSERT_TRUE(unpack_here());
  EXPECT_EQ(std::string(5000, 'y'), read_text(tree() / "a"));
}

TEST_F(Zip, AWrongChecksumOrSizeIsDamage) {
  const std::string flip =
      "z = zipfile.ZipFile(out, 'w'); z.writestr('a', 'content'); z.close()\n"
      "b = bytearray(open(out, 'rb').read())\n"
      "at = b.index(b'PK\\1\\2')\n";
  python(flip + "b[at + 16] ^= 1\nopen(out, 'wb').write(b)\n");
  EXPECT_THAT(refusal(), HasSubstr("checksum"));
  python(flip + "b[at + 24] ^= 1\nopen(out, 'wb').write(b)\n");
  EXPECT_THAT(refusal(), HasSubstr("two sizes"));
  python(flip + "b[at + 42:at + 46] = struct.pack('<I', 10**6)\nopen(out, 'wb').write(b)\n");
  EXPECT_THAT(refusal(), HasSubstr("cut off"));
  python(flip + "b[at] = 0\nopen(out, 'wb').write(b)\n");
  EXPECT_THAT(refusal(), HasSubstr("directory is broken"));
}

TEST_F(Zip, ADeflatedEntryThatIsLargerOrShorterThanItSaysIsDamage) {
  for (const char* size : {"10", "10**6"}) {
    python(std::string("z = zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED); z.writestr('a', 'z' * 5000); "
                       "z.close()\n"
                       "b = bytearray(open(out, 'rb').read())\nat = b.index(b'PK\\1\\2')\n"
                       "b[at + 24:at + 28] = struct.pack('<I', ") +
           size + ")\nopen(out, 'wb').write(b)\n");
    EXPECT_THAT(refusal(), HasSubstr("archive_unreadable")) << size;
  }
}

TEST_F(Zip, EncryptionAndOtherCompressionsAreNotUnderstood) {
  python("z = zipfile.ZipFile(out, 'w', zipfile.ZIP_BZIP2); z.writestr('a', 'x'); z.close()\n");
  EXPECT_THAT(refusal(), HasSubstr("use deflate"));
  python(
      "z = zipfile.ZipFile(out, 'w'); z.writestr('a', 'x'); z.close()\n"
      "b = bytearray(open(out, 'rb').read())\nb[b.index(b'PK\\1\\2') + 8] |= 1\nopen(out, 'wb').write(b)\n");
  EXPECT_THAT(refusal(), HasSubstr("encrypted"));
}

TEST_F(Zip, NoPieceOfOneIsACrash) {
  make("zip", {file("a", std::string(3000, 'q')), folder("d"), link("l", "a")});
  const auto whole = read_text(archive());
  for (std::size_t at = 0; at < whole.size(); ++at) {
    auto changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0xff);
    write_text(archive(), changed);
    (void)unpack_here({.bytes = 1 << 20});
    write_text(archive(), std::string_view(whole).substr(0, at));
    EXPECT_FALSE(unpack_here({.bytes = 1 << 20})) << at;
  }
}

}  // namespace
}  // namespace agentrouter::workspace
