#include "base/secret_buffer.h"

#include <sodium.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace agentrouter::base {

SecretBuffer::SecretBuffer(std::size_t capacity, Lock lock) : capacity_(capacity) {
  // Guard pages around it, no core dump, wiped when freed; locking is left to us to check.
  if (::sodium_init() >= 0) data_ = static_cast<char*>(::sodium_malloc(capacity));
  if (data_ == nullptr) throw_failure(Code::unavailable, "cannot get memory for a secret");
  const bool locked = ::sodium_mlock(data_, capacity) == 0;
  if (locked || lock == Lock::where_possible) return;
  release();
  throw_failure(Code::unavailable, "cannot lock memory for a secret: raise RLIMIT_MEMLOCK");
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

unsigned char* SecretBuffer::extend(std::size_t size) {
  AGENTROUTER_CHECK(size <= capacity_ - size_);
  auto* place = reinterpret_cast<unsigned char*>(data_ + size_);
  size_ += size;
  return place;
}

void SecretBuffer::append(std::string_view bytes) {
  auto* place = extend(bytes.size());
  std::copy(bytes.begin(), bytes.end(), place);
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
    if (got < 0) return fail_errno("cannot read a secret", errno);
    size_ += static_cast<std::size_t>(got);
    return static_cast<std::size_t>(got);
  }
}

void wipe(std::string& text) {
  ::sodium_memzero(text.data(), text.size());
  text.clear();
}

}  // namespace agentrouter::base
