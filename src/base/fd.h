#pragma once
// A file descriptor with one owner, and the few calls that must not be interrupted half way.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace agentrouter::base {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  [[nodiscard]] int release();
  void reset();

 private:
  int fd_ = -1;
};

// Writes all of it. Errors: that of write(2); some bytes may then have been written.
[[nodiscard]] Result<void> write_all(int fd, std::string_view bytes);
// Reads to the end, at most `max_bytes`. Errors: that of read(2); exhausted when there is more.
[[nodiscard]] Result<std::string> read_all(int fd, std::size_t max_bytes);

// One SEQPACKET or DGRAM message with up to 32 descriptors, which are borrowed.
[[nodiscard]] Result<void> send_message(int socket, std::string_view bytes, std::span<const int> fds = {});

struct Message {
  std::string bytes;    // empty at end of file
  std::vector<Fd> fds;  // close-on-exec
};
// Waits for one message of at most `max_bytes`. Errors: that of recvmsg(2), exhausted when it was cut.
[[nodiscard]] Result<Message> receive_message(int socket, std::size_t max_bytes);

struct FdPair {
  Fd first;
  Fd second;
};
[[nodiscard]] Result<FdPair> make_pipe();
// A file in memory that has these bytes, to be read from its beginning. Errors: those of memfd_create(2),
// write(2).
[[nodiscard]] Result<Fd> make_memory_file(std::string_view bytes);
[[nodiscard]] Result<FdPair> make_seqpacket_pair();

}  // namespace agentrouter::base
