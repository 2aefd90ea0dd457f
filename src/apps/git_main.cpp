// agentrouter-git: what of the product needs libgit2, as a program of its own.

#include <cstring>

#include "git/push_command.h"

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "push") == 0) return agentrouter::git::run_push();
  return 2;
}
