#include "worker/image_root.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

namespace agentrouter::worker {

base::Result<base::Fd> open_image_root(const ImageRoot& image) {
  base::Fd root(::open(image.root.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root) return base::fail_errno("cannot open the image " + image.name, errno);
  int done = 0;
  while ((done = ::flock(root.get(), LOCK_SH | LOCK_NB)) != 0 && errno == EINTR) {
  }
  if (done == 0) return root;
  if (errno == EWOULDBLOCK)
    return base::fail(base::Code::unavailable,
                      "cannot use the image " + image.name + ": it is being removed");
  return base::fail_errno("cannot lock the image " + image.name, errno);
}

}  // namespace agentrouter::worker
