#pragma once
// The sandbox's init, embedded: a static program of some hundred kilobytes.

#include <string_view>

#include "base/fd.h"

namespace agentrouter::sandbox {

[[nodiscard]] std::string_view init_image();

// `image` in a sealed memfd, to be executed by its descriptor: nobody can change or replace it.
[[nodiscard]] base::Result<base::Fd> make_program(std::string_view image);

}  // namespace agentrouter::sandbox
