#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "sandbox/init/mounts.h"
#include "sandbox/init/system.h"

// What the agent writes to: overlays of the workspace and of the home.

namespace agentrouter::sandbox::init {
namespace {

// volatile: what the run leaves is collected before the end, and a machine that loses power loses the attempt
// anyway. Without it, unmounting would write every changed file to the disk that is about to be removed from
// it.
void mount_overlay(const char* to, const char* lower, const char* upper, const char* work, bool fixed) {
  char options[1024];
  snprintf(options, sizeof options,
           "lowerdir=%s,upperdir=%s,workdir=%s,userxattr,index=off,metacopy=off,nfs_export=off%s", lower,
           upper, work, fixed ? "" : ",volatile");
  require(mount("overlay", to, "overlay", MS_NOSUID | MS_NODEV | (fixed ? MS_RDONLY : 0), options) == 0,
          "mount the overlay", to);
}

constexpr unsigned place_size = 48;

// Where layer `number` has its part `name`: 0 is the attempt's own, 1... are the kept ones.
void name_layer(char (&place)[place_size], unsigned number, const char* name) {
  if (number == 0) {
    snprintf(place, sizeof place, "../attempt/box/%s", name);
  } else {
    snprintf(place, sizeof place, "../kept/%u/%s", number, name);
  }
}

void attach_kept_layers(const int* layers, unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    char place[place_size];
    snprintf(place, sizeof place, "../kept/%u", i + 1);
    require(mkdir(place, 0755) == 0 && attach(layers[i], place), "attach a kept layer");
    close(layers[i]);
  }
}

// "../kept/1/upper:../kept/2/upper:LOWEST"
void list_lowers(char (&list)[768], const char* name, unsigned count, const char* lowest) {
  unsigned used = 0;
  for (unsigned i = 1; i <= count; ++i) {
    char place[place_size];
    name_layer(place, i, name);
    used += static_cast<unsigned>(snprintf(list + used, sizeof list - used, "%s:", place));
  }
  snprintf(list + used, sizeof list - used, "%s", lowest);
}

int stack_of(const char* name, unsigned count) {
  constexpr auto attributes = read_only | MOUNT_ATTR_NOEXEC;
  char stack[place_size], part[place_size];
  snprintf(stack, sizeof stack, "../%s", name);
  require(mkdir(stack, 0755) == 0, "make folder", stack);
  for (unsigned i = 0; i <= count; ++i) {
    char place[place_size];
    name_layer(place, i, name);
    snprintf(part, sizeof part, "../%s/%u", name, i);
    const int tree = clone_tree(AT_FDCWD, place, false);
    require(tree >= 0 && mkdir(part, 0755) == 0 && attach(tree, part), "keep a layer for the collector");
    close(tree);
  }
  const int whole = clone_tree(AT_FDCWD, stack, true);
  require(whole >= 0 && set_attributes(whole, attributes), "keep the layers for the collector");
  return whole;
}

}  // namespace

Grounds mount_grounds(const Setup& setup, int attempt, int lower, const int* layers) {
  const auto count = setup.spec.layer_count, home_count = setup.spec.home_layers;
  require(attach(attempt, "../attempt"), "attach the attempt's folder");
  require(attach(lower, "../lower"), "attach the workspace's lower folder");
  close(attempt);
  close(lower);
  attach_kept_layers(layers, count);
  char lowers[768];
  list_lowers(lowers, "upper", count, "../lower");
  mount_overlay("workspace", lowers, "../attempt/box/upper", "../attempt/work",
                setup.spec.read_only_workspace != 0);
  list_lowers(lowers, "home", home_count, "../none");
  mount_overlay("home/agent", lowers, "../attempt/box/home", "../attempt/work-home", false);
  Grounds grounds;
  grounds.lower = clone_tree(AT_FDCWD, "../lower", false);
  require(grounds.lower >= 0 && set_attributes(grounds.lower, read_only | MOUNT_ATTR_NOEXEC),
          "keep the layers for the collector");
  grounds.upper = stack_of("upper", count);
  grounds.home = stack_of("home", home_count);
  constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  grounds.written_workspace = openat(grounds.upper, "0", flags);
  grounds.written_home = openat(grounds.home, "0", flags);
  require(grounds.written_workspace >= 0 && grounds.written_home >= 0, "open what the agent writes");
  return grounds;
}

}  // namespace agentrouter::sandbox::init
