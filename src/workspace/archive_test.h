#pragma once
// For the tests of unpacking: archives of every format, honest and hostile, made entry by entry.

#include <iterator>

#include <gmock/gmock.h>

#include "workspace/overlay_test.h"
#include "workspace/trees.h"
#include "workspace/unpack.h"

namespace agentrouter::workspace {

// Writes `entries` ([{type, name, target?, mode?, data?, zeros?}]) as tar, tar.gz, tar.zst or zip.
inline constexpr const char* archive_maker = R"py(
import io, json, stat, subprocess, sys, tarfile, zipfile
form, out, entries = sys.argv[1], sys.argv[2], json.load(open(sys.argv[3]))
kinds = {'file': tarfile.REGTYPE, 'folder': tarfile.DIRTYPE, 'link': tarfile.SYMTYPE, 'hard': tarfile.LNKTYPE,
         'device': tarfile.CHRTYPE, 'fifo': tarfile.FIFOTYPE}
types = {'file': stat.S_IFREG, 'folder': stat.S_IFDIR, 'link': stat.S_IFLNK, 'device': stat.S_IFCHR,
         'fifo': stat.S_IFIFO, 'socket': stat.S_IFSOCK}
def data_of(e):
    return e.get('data', '').encode() + bytes(e.get('zeros', 0))
def tar(name, mode):
    with tarfile.open(name, mode, format=tarfile.PAX_FORMAT) as t:
        for e in entries:
            i = tarfile.TarInfo(e['name'])
            i.type, i.mode, i.linkname = kinds[e['type']], e.get('mode', 0o644), e.get('target', '')
            i.mtime = 1000000000
            i.size = len(data_of(e)) if e['type'] == 'file' else 0
            t.addfile(i, io.BytesIO(data_of(e)))
if form == 'zip':
    with zipfile.ZipFile(out, 'w') as z:
        for e in entries:
            name = e['name'] + ('/' if e['type'] == 'folder' else '')
            i = zipfile.ZipInfo(name, (2001, 9, 9, 1, 46, 40))
            i.create_system, i.external_attr = 3, (types[e['type']] | e.get('mode', 0o644)) << 16
            i.compress_type = zipfile.ZIP_STORED if e.get('stored') else zipfile.ZIP_DEFLATED
            z.writestr(i, e['target'].encode() if e['type'] == 'link' else data_of(e))
else:
    tar(out, 'w:gz' if form == 'tar.gz' else 'w')
)py";

class ArchiveTest : public OverlayTest {
 protected:
  ArchiveTest() {
    write_text(root / "make.py", archive_maker);
    fs::create_directories(root / "outside");
    write_text(root / "outside/secret", "untouched");
  }

  fs::path archive() const { return root / "archive"; }
  fs::path tree() const { return root / "tree"; }

  void make(const std::string& form, const json::array& entries) const {
    write_text(root / "entries.json", base::to_text(entries));
    ASSERT_EQ(0, shell("/usr/bin/python3 " + (root / "make.py").string() + " " + form + " " +
                       archive().string() + " " + (root / "entries.json").string()));
  }

  static json::object file(std::string_view name, std::string_view data = "x", int mode = 0644) {
    return {{"type", "file"}, {"name", name}, {"data", data}, {"mode", mode}};
  }
  static json::object folder(std::string_view name, int mode = 0755) {
    return {{"type", "folder"}, {"name", name}, {"mode", mode}};
  }
  static json::object link(std::string_view name, std::string_view target, std::string_view type = "link") {
    return {{"type", type}, {"name", name}, {"target", target}, {"mode", 0777}};
  }
  static json::object special(std::string_view type, std::string_view name) {
    return {{"type", type}, {"name", name}};
  }

  // Into an empty tree.
  base::Result<UnpackReport> unpack_here(const UnpackLimits& limits = {}) const {
    fs::remove_all(tree());
    fs::create_directories(tree());
    const base::Fd in(::open(archive().c_str(), O_RDONLY | O_CLOEXEC));
    const base::Fd into(::open(tree().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return unpack({in.get(), into.get()}, limits);
  }

  // The reason of the refusal, and that nothing outside has changed.
  std::string refusal(const UnpackLimits& limits = {}) const {
    const auto report = unpack_here(limits);
    EXPECT_EQ("untouched", read_text(root / "outside/secret"));
    EXPECT_EQ(1, std::distance(fs::directory_iterator(root / "outside"), {}));
    return report ? "unpacked" : report.error().reason + ": " + report.error().message;
  }
};

}  // namespace agentrouter::workspace
