// The image of the conformance suite: what its scripts call, from this machine, with its libraries.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/test_rig.h"

namespace agentrouter::sandbox::rig {
namespace {

constexpr const char* make_root = R"sh(
set -e
umask 022
PATH=/usr/bin:/bin:/usr/sbin:/sbin
cd "$1"
mkdir -p usr/bin usr/lib usr/lib64 usr/sbin etc root run mnt srv var/lib var/cache tmp
for l in bin sbin lib lib64; do ln -s usr/$l $l; done
ln -s /run var/run
mkdir -p usr/share/git-core/templates
echo 'image' > etc/image-mark
echo 'root:x:0:0:of the image:/root:/bin/sh' > etc/passwd
cp /usr/lib/os-release usr/lib/
for t in sh bash cat ls id grep sed tr head tail cut wc sleep seq dd rm rmdir mkdir mv cp ln chmod chown stat touch \
    mknod mkfifo env true false pwd setsid unshare mount umount chrt nice ionice ipcs dmesg find getfattr chattr git \
    su passwd python3 sort xargs uname date mktemp test printf readlink ip getent prlimit setpriv nsenter; do
  p=$(command -v $t || true)
  case $p in /*) ;; *) p=/usr/bin/$t ;; esac
  [ -e "$p" ] || continue
  cp -L "$p" usr/bin/$t
  chmod u-s,go-w,a+rx usr/bin/$t
  for lib in $(ldd "$p" 2>/dev/null | grep -o '/[^ ):]*'); do
    real=usr/lib/${lib#*/lib*/}
    case $lib in /lib64/*|/usr/lib64/*) real=usr/lib64/${lib##*/} ;; esac
    [ -e "$real" ] || { mkdir -p "$(dirname "$real")"; cp -L "$lib" "$real"; }
  done
done
[ -e usr/sbin/chroot ] || cp -L "$(PATH=$PATH:/usr/sbin command -v chroot)" usr/sbin/
v=$(readlink -f /usr/bin/python3); v=${v##*/}
mkdir -p usr/lib/$v
(cd /usr/lib/$v && find . -maxdepth 1 -name '*.py' -exec cp {} "$OLDPWD/usr/lib/$v/" ';' && cp -rL encodings collections \
  ctypes importlib re lib-dynload "$OLDPWD/usr/lib/$v/") 2>/dev/null || true
for lib in $(ldd /usr/lib/$v/lib-dynload/_ctypes*.so | grep -o '/[^ ):]*'); do
  real=usr/lib/${lib#*/lib*/}
  case $lib in /lib64/*|/usr/lib64/*) continue ;; esac
  [ -e "$real" ] || { mkdir -p "$(dirname "$real")"; cp -L "$lib" "$real"; }
done
)sh";

}  // namespace

const std::filesystem::path& test_image() {
  static const TemporaryFolder folder;
  static const std::filesystem::path root = [] {
    auto place = folder.path() / "rootfs";
    std::filesystem::create_directory(place);
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::execl("/bin/sh", "sh", "-c", make_root, "sh", place.c_str(), nullptr);
      ::_exit(99);
    }
    int status = -1;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    return place;
  }();
  return root;
}

}  // namespace agentrouter::sandbox::rig
