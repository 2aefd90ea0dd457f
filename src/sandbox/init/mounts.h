#pragma once
// How init makes mounts, for those of its files that build a root. All paths are relative to the new root.

#include <linux/mount.h>
#include <sys/types.h>

#include "sandbox/init/stages.h"

namespace agentrouter::sandbox::init {

inline constexpr std::uint64_t plain_attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
inline constexpr std::uint64_t read_only = plain_attributes | MOUNT_ATTR_RDONLY;

int clone_tree(int at, const char* path, bool recursive);
bool set_attributes(int tree, std::uint64_t attributes);
bool attach(int tree, const char* to);
void mount_new(const char* type, const char* to, unsigned long flags, const char* options);

// mkdir -p for the folders above `path`.
void make_parents(const char* path);
// A mount point that may be there already, in a home that is used again.
void make_mount_point(const char* path, mode_t mode);

// Mounts the overlays of the workspace and of the home, and keeps what the collector reads. The descriptors are closed.
Grounds mount_grounds(const Setup& setup, int attempt, int lower, const int* layers);

enum class Files { of_root, of_home };
void make_files(const Spec& spec, Files which);

}  // namespace agentrouter::sandbox::init
