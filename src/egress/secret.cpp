#include "egress/secret.h"

#include <sodium.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace agentrouter::egress {

using base::Code;
using base::fail;
using base::Result;

SecretBuffer::SecretBuffer(std::size_t capacity) : capacity_(capacity) {
  // Guard pages around it, no core dump, wiped when freed; locking is left to us to check.
  if (::sodium_init() >= 0) data_ = static_cast<char*>(::sodium_malloc(capacity));
  if (!data_ || ::sodium_mlock(data_, capacity) != 0) {
    release();
    base::throw_failure(Code::unavailable, "cannot lock memory for a secret: raise RLIMIT_MEMLOCK");
  }
}

SecretBuffer::SecretBuffer(SecretBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

SecretBuffer& SecretBuffer::operator=(SecretBuffer&& other) noexcept {
  if (this != &other) {
    release();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
  }
  return *this;
}

SecretBuffer::~SecretBuffer() {
  release();
}

void SecretBuffer::release() {
  ::sodium_free(data_);
  data_ = nullptr;
}

void SecretBuffer::append(std::string_view bytes) {
  AGENTROUTER_CHECK(bytes.size() <= capacity_ - size_);
  std::copy(bytes.begin(), bytes.end(), data_ + size_);
  size_ += bytes.size();
}

void SecretBuffer::wipe() {
  if (data_) ::sodium_memzero(data_, capacity_);
  size_ = 0;
}

Result<std::size_t> SecretBuffer::read_from(int fd) {
  if (size_ == capacity_) return fail(Code::exhausted, "cannot read a secret: it is too long");
  for (;;) {
    const auto got = ::read(fd, data_ + size_, capacity_ - size_);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::fail_errno("cannot read a secret", errno);
    size_ += static_cast<std::size_t>(got);
    return static_cast<std::size_t>(got);
  }
}

namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const auto begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

bool fits_a_header(std::string_view key, char least) {
  return std::all_of(key.begin(), key.end(), [least](char c) { return c >= least && c < 0x7f; });
}

}  // namespace

Result<Secret> Secret::take(SecretBuffer buffer, Blanks blanks) {
  const auto view = trim(buffer.view());
  if (view.empty()) return fail(Code::invalid, "cannot use a secret: it is empty");
  if (!fits_a_header(view, blanks == Blanks::inside ? ' ' : '!')) {
    return fail(Code::invalid, "cannot use a secret: it holds a blank, a control or a non-ASCII byte");
  }
  return Secret(std::move(buffer), view);
}

Result<Secret> Secret::create(std::string_view key) {
  if (key.size() > max_bytes) return fail(Code::invalid, "cannot use a secret: it is too long");
  SecretBuffer buffer(std::max<std::size_t>(key.size(), 1));
  buffer.append(key);
  return take(std::move(buffer));
}

Result<Secret> Secret::read_from(int fd) {
  SecretBuffer buffer(max_bytes + 1);
  for (;;) {
    auto got = buffer.read_from(fd);
    if (!got && got.error().code == Code::exhausted) {
      return fail(Code::invalid, "cannot use a secret: it is too long");
    }
    if (!got) return tl::unexpected(std::move(got).error());
    if (*got == 0) return take(std::move(buffer));
  }
}

Result<Secret> Secret::create_field(std::string_view value) {
  if (value.size() > max_bytes) return fail(Code::invalid, "cannot use a secret: it is too long");
  SecretBuffer buffer(std::max<std::size_t>(value.size(), 1));
  buffer.append(value);
  return take(std::move(buffer), Blanks::inside);
}

Result<Secret> Secret::read_field(int fd, std::size_t size) {
  if (size == 0 || size > max_bytes) return fail(Code::invalid, "cannot read a secret: it has no valid size");
  SecretBuffer buffer(size);
  while (buffer.size() < size) {
    AGENTROUTER_TRY(const auto got, buffer.read_from(fd));
    if (got == 0) return fail(Code::invalid, "cannot read a secret: it is cut");
  }
  return take(std::move(buffer), Blanks::inside);
}

}  // namespace agentrouter::egress
