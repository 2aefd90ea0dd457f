// covers: src/workspace/zip.cpp
// Zip archives from arbitrary bytes: no crash, and no entry gives more bytes than it says it has.
#include <array>

#include "bytes_file.h"
#include "workspace/zip.h"

using namespace agentrouter;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = file_of(bytes_of(data, size));
  workspace::ZipReader reader(file.get());
  std::array<char, 4096> buffer;
  for (int entries = 0; entries < 200; ++entries) {
    const auto entry = reader.next();
    if (!entry || !*entry) return 0;
    std::uint64_t seen = 0;
    while (seen < (1u << 20)) {
      const auto got = reader.read(buffer);
      if (!got || *got == 0) break;
      seen += *got;
    }
    const bool file_entry = (*entry)->kind == workspace::ArchiveEntry::Kind::file;
    if (file_entry && seen > (*entry)->size) std::abort();
  }
  return 0;
}
