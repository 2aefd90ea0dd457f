#pragma once
// The few things every file of init needs: ending with a reason, messages with descriptors.

#include "sandbox/init/protocol.h"

namespace agentrouter::sandbox::init {

// Reports `stage` with errno to the launcher and ends. `detail` names the object and may be empty.
[[noreturn]] void fail(const char* stage, const char* detail = "");
inline void require(bool worked, const char* stage, const char* detail = "") {
  if (!worked) fail(stage, detail);
}

void send_reply(ReplyType type, std::uint32_t id, std::int32_t value, std::int32_t error, const char* stage,
                int fd = -1);
// Reply{ready}, with descriptors.
void send_ready(const int* fds, unsigned count);
void send_out(const Reply& reply, const int* fds = nullptr, unsigned count = 0);  // at most max_outbound + 3
// One message; returns its size (0: the other end is closed) and fills `fds`, close-on-exec.
int receive(void* buffer, unsigned size, int* fds, unsigned max_fds, unsigned* fd_count);

bool write_file(const char* path, const char* text);
const char* text_at(const Spec& spec, std::uint32_t offset);

}  // namespace agentrouter::sandbox::init
