#include "sandbox/init/system.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace agentrouter::sandbox::init {

void send_reply(ReplyType type, std::uint32_t id, std::int32_t value, std::int32_t error, const char* stage,
                int fd) {
  Reply reply{type, id, value, error, {}};
  snprintf(reply.stage, sizeof reply.stage, "%s", stage);
  send_out(reply, &fd, fd >= 0 ? 1 : 0);
}

void send_ready(const int* fds, unsigned count) {
  send_out(Reply{reply_ready, 0, 0, 0, {}}, fds, count);
}

void send_out(const Reply& reply, const int* fds, unsigned count) {
  constexpr unsigned most = max_outbound + 3;
  iovec part{const_cast<Reply*>(&reply), sizeof reply};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * most)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (count > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    auto* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
  }
  while (sendmsg(control_fd, &message, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) _exit(1);
  }
}

void fail(const char* stage, const char* detail) {
  const int error = errno;
  char text[sizeof(Reply::stage)];
  snprintf(text, sizeof text, "%s%s%s", stage, *detail ? " " : "", detail);
  send_reply(reply_failed, 0, 0, error, text);
  _exit(1);
}

int receive(void* buffer, unsigned size, int* fds, unsigned max_fds, unsigned* fd_count) {
  constexpr unsigned most = 48;
  static_assert(max_sources <= most);
  iovec part{buffer, size};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * most)];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = CMSG_SPACE(sizeof(int) * (max_fds < most ? max_fds : most));
  ssize_t got = 0;
  while ((got = recvmsg(control_fd, &message, MSG_CMSG_CLOEXEC)) < 0) {
    if (errno != EINTR) _exit(1);
  }
  *fd_count = 0;
  for (auto* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const unsigned count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(header), count * sizeof(int));
    *fd_count = count;
  }
  if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) _exit(1);
  return static_cast<int>(got);
}

bool write_file(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const auto size = static_cast<ssize_t>(strlen(text));
  const bool worked = write(fd, text, size) == size;
  const int error = errno;
  close(fd);
  errno = error;
  return worked;
}

const char* text_at(const Spec& spec, std::uint32_t offset) {
  return offset < spec.text_size && spec.text_size <= max_text ? spec.text + offset : "";
}

}  // namespace agentrouter::sandbox::init
