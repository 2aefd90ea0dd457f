#pragma once
// How init makes mounts, for those of its files that build a root. All paths are relative to the new root.

#include <sys/types.h>

#include "sandbox/init/protocol.h"

namespace agentrouter::sandbox::init {

int clone_tree(int at, const char* path, bool recursive);
bool attach(int tree, const char* to);
void mount_new(const char* type, const char* to, unsigned long flags, const char* options);

// mkdir -p for the folders above `path`.
void make_parents(const char* path);
// A mount point that may be there already, in a home that is used again.
void make_mount_point(const char* path, mode_t mode);

enum class Files { of_root, of_home };
void make_files(const Spec& spec, Files which);

}  // namespace agentrouter::sandbox::init
