#include "sandbox/init_image.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>

// The assembler reads the file; ccache sees the directive and does not cache this unit.
asm(".section .rodata\n"
    ".balign 16\n"
    "agentrouter_init_image_begin:\n"
    ".incbin \"" AGENTROUTER_INIT_IMAGE
    "\"\n"
    "agentrouter_init_image_end:\n"
    ".previous\n");

extern "C" {
extern const char agentrouter_init_image_begin[];
extern const char agentrouter_init_image_end[];
}

namespace agentrouter::sandbox {

std::string_view init_image() {
  return {agentrouter_init_image_begin,
          static_cast<std::size_t>(agentrouter_init_image_end - agentrouter_init_image_begin)};
}

base::Result<base::Fd> make_program(std::string_view image) {
  // MFD_EXEC: needed where vm.memfd_noexec is set, unknown to kernels before 6.3.
  constexpr unsigned exec_flag = 0x10;
  base::Fd fd(::memfd_create("agentrouter-init", MFD_CLOEXEC | MFD_ALLOW_SEALING | exec_flag));
  if (!fd && errno == EINVAL)
    fd = base::Fd(::memfd_create("agentrouter-init", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return base::fail_errno("cannot prepare init", errno);
  if (auto written = base::write_all(fd.get(), image); !written) return tl::unexpected(written.error());
  constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  if (::fcntl(fd.get(), F_ADD_SEALS, seals) != 0) return base::fail_errno("cannot seal init", errno);
  return fd;
}

}  // namespace agentrouter::sandbox
