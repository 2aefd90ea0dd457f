#include "keeper/clean_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <tuple>
#include <utility>

#include "base/fd.h"
#include "base/hash.h"

namespace agentrouter::keeper {
namespace {

constexpr std::size_t cleaned_piece_bytes = 1u << 20;

base::Result<base::Fd> open_in(int folder, const std::string& name, int flags) {
  base::Fd fd(::openat(folder, name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return base::fail_errno("cannot open " + name, errno);
  return fd;
}

// Calls `take` for pieces that end where lines end, as far as lines are shorter than a piece.
template <class Take>
base::Result<void> each_piece(int fd, const Take& take) {
  std::string text;
  for (std::string more(cleaned_piece_bytes, '\0');;) {
    const ssize_t got = ::read(fd, more.data(), more.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::fail_errno("cannot read what was collected", errno);
    text.append(more, 0, static_cast<std::size_t>(got));
    const auto end = got == 0 ? text.size() : text.rfind('\n') + 1;
    if (end > 0) {
      AGENTROUTER_TRY(std::ignore, take(text.substr(0, end)));
      text.erase(0, end);
    }
    if (got == 0) return {};
  }
}

// Line by line: a secret over two lines would take a line end with it.
std::string clean_each_line(const base::Redactor& redactor, const std::string& text, base::Redactor::Text kind) {
  std::string cleaned;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find('\n', begin), text.size() - 1) + 1;
    std::string line = text.substr(begin, end - begin);
    const bool ended = line.back() == '\n';
    if (ended) line.pop_back();
    redactor.clean(line, kind);
    cleaned += line;
    if (ended) cleaned += '\n';
    begin = end;
  }
  return cleaned;
}

}  // namespace

base::Result<CleanedFile> clean_lines(int folder, const char* name, const base::Redactor& redactor,
                                      base::Redactor::Text kind) {
  AGENTROUTER_TRY(const base::Fd old, open_in(folder, name, O_RDONLY));
  CleanedFile cleaned;
  auto looked = each_piece(old.get(), [&](const std::string& text) -> base::Result<bool> {
    return cleaned.found = cleaned.found || redactor.occurs_in(text);
  });
  if (!looked) return tl::unexpected(std::move(looked).error());
  if (!std::exchange(cleaned.found, false)) return cleaned;
  if (::lseek(old.get(), 0, SEEK_SET) != 0) return base::fail_errno("cannot read what was collected", errno);
  const std::string temporary = std::string(name) + ".clean";
  AGENTROUTER_TRY(const base::Fd made, open_in(folder, temporary, O_WRONLY | O_CREAT | O_TRUNC));
  base::Sha256 hash;
  auto written = each_piece(old.get(), [&](const std::string& text) -> base::Result<bool> {
    const auto clean = clean_each_line(redactor, text, kind);
    cleaned.found = cleaned.found || clean != text;
    hash.update(clean);
    cleaned.bytes += clean.size();
    auto done = base::write_all(made.get(), clean);
    if (!done) return tl::unexpected(std::move(done).error());
    return true;
  });
  if (!written) return tl::unexpected(std::move(written).error());
  if (::fsync(made.get()) != 0 || ::renameat(folder, temporary.c_str(), folder, name) != 0)
    return base::fail_errno("cannot write " + std::string(name), errno);
  cleaned.sha256 = hash.hex();
  return cleaned;
}

}  // namespace agentrouter::keeper
