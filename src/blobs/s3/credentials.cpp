#include "blobs/s3/credentials.h"

#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"

namespace agentrouter::blobs {

namespace {

constexpr std::size_t most_key_bytes = 8 << 10;

base::Result<std::string> key_in(const std::string& path) {
  auto text = base::read_file(path, most_key_bytes);
  if (!text) return text;
  while (!text->empty() && (text->back() == '\n' || text->back() == '\r' || text->back() == ' '))
    text->pop_back();
  for (const char c : *text) {
    if (c <= ' ' || c > '~')
      return base::fail(base::Code::invalid,
                        path + " holds no key of a store: want one line of visible characters");
  }
  if (text->empty()) return base::fail(base::Code::invalid, path + " is empty: want a key of the store");
  return text;
}

base::Result<Credentials> read_keys(const CredentialFiles& files) {
  Credentials keys;
  AGENTROUTER_TRY(keys.access_key, key_in(files.access_key));
  AGENTROUTER_TRY(keys.secret_key, key_in(files.secret_key));
  if (!files.session_token.empty()) {
    AGENTROUTER_TRY(keys.session_token, key_in(files.session_token));
  }
  return keys;
}

// Another one when a file was written or replaced.
std::string state_of(const CredentialFiles& files) {
  std::string state;
  for (const auto* path : {&files.access_key, &files.secret_key, &files.session_token}) {
    struct stat info{};
    if (path->empty() || ::stat(path->c_str(), &info) != 0) continue;
    for (const auto number :
         {static_cast<std::int64_t>(info.st_ino), static_cast<std::int64_t>(info.st_size),
          static_cast<std::int64_t>(info.st_mtim.tv_sec), static_cast<std::int64_t>(info.st_mtim.tv_nsec)})
      state += std::to_string(number) + " ";
  }
  return state;
}

}  // namespace

base::Result<std::unique_ptr<CredentialSource>> CredentialSource::from_files(CredentialFiles files) {
  auto state = state_of(files);
  AGENTROUTER_TRY(auto keys, read_keys(files));
  return std::make_unique<CredentialSource>(std::move(files), std::move(keys), std::move(state));
}

Credentials CredentialSource::current() {
  const std::lock_guard lock(mutex_);
  if (files_.access_key.empty()) return current_;
  auto state = state_of(files_);
  if (state == state_) return current_;
  auto keys = read_keys(files_);
  if (!keys) {
    // Perhaps it is being written: it is looked at again with the next request.
    base::log(base::LogLevel::warn, "the keys of the blob store cannot be read again",
              {{"cause", keys.error().message}});
    return current_;
  }
  state_ = std::move(state);
  current_ = std::move(*keys);
  if (told_) told_(current_);
  return current_;
}

}  // namespace agentrouter::blobs
