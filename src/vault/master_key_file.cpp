#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.h"
#include "base/file.h"
#include "base/hmac.h"
#include "vault/master_key.h"

namespace agentrouter::vault {

namespace {

using base::Code;
using Lock = base::SecretBuffer::Lock;

constexpr std::size_t longest_file = 4096;

base::Result<void> check_owner(int fd, const std::filesystem::path& file) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return base::fail_errno("cannot look at " + file.string(), errno);
  if (!S_ISREG(info.st_mode)) return refuse_master_key(file.string(), "it is no regular file");
  if (info.st_uid != ::geteuid() && info.st_uid != 0)
    return refuse_master_key(file.string(), "it belongs to another user");
  if ((info.st_mode & 077) != 0)
    return refuse_master_key(file.string(),
                             "others may read it: chmod 600 " + file.string() + ", or choose a new key");
  return {};
}

}  // namespace

base::Result<std::vector<Key>> read_master_keys(const std::filesystem::path& file) {
  const base::Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd) return base::fail_errno("cannot read the master key " + file.string(), errno);
  if (auto owned = check_owner(fd.get(), file); !owned) return tl::unexpected(owned.error());
  base::SecretBuffer text(longest_file, Lock::where_possible);
  for (;;) {
    const auto got = text.read_from(fd.get());
    if (!got && got.error().code == Code::exhausted)
      return refuse_master_key(file.string(), "the file is too long");
    if (!got) return tl::unexpected(got.error());
    if (*got == 0) return parse_master_keys(text.view(), file.string());
  }
}

base::Result<void> write_master_keys(const std::filesystem::path& file, const std::vector<Key>& keys) {
  std::string text;
  text.reserve(keys.size() * 48);  // so that no copy of a part of it is left behind
  for (const auto& key : keys) {
    auto line = base::to_base64(key.view());
    text.append(line).append("\n");
    base::wipe(line);
  }
  auto written = base::write_file_durably(file, text, 0600);
  base::wipe(text);
  return written;
}

}  // namespace agentrouter::vault
