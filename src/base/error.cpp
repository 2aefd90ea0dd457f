#include "base/error.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>

namespace agentrouter::base {

std::string_view to_string(Code code) {
  switch (code) {
    case Code::invalid: return "invalid";
    case Code::not_found: return "not_found";
    case Code::conflict: return "conflict";
    case Code::denied: return "denied";
    case Code::exhausted: return "exhausted";
    case Code::unavailable: return "unavailable";
    case Code::timeout: return "timeout";
    case Code::cancelled: return "cancelled";
    case Code::unsupported: return "unsupported";
    case Code::corrupt: return "corrupt";
    case Code::internal: return "internal";
  }
  return "internal";
}

namespace {

Code code_of(int errno_value) {
  switch (errno_value) {
    case ENOENT: return Code::not_found;
    case EACCES:
    case EPERM: return Code::denied;
    case EEXIST:
    case EADDRINUSE: return Code::conflict;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM: return Code::exhausted;
    case EINVAL: return Code::invalid;
    case ENOSYS:
    case EOPNOTSUPP: return Code::unsupported;
    case ETIMEDOUT: return Code::timeout;
    default: return Code::unavailable;
  }
}

Error errno_error(std::string action, int errno_value) {
  return Error{code_of(errno_value), std::move(action) + ": " + std::strerror(errno_value)};
}

}  // namespace

tl::unexpected<Error> fail_errno(std::string action, int errno_value) {
  return tl::unexpected<Error>(errno_error(std::move(action), errno_value));
}

void throw_failure(Code code, std::string message, std::string reason) {
  throw Failure(Error{code, std::move(message), std::move(reason)});
}

void throw_errno(std::string action, int errno_value) {
  throw Failure(errno_error(std::move(action), errno_value));
}

void check_failed(const char* expression, const char* file, int line) {
  std::cerr << "agentrouter: check failed at " << file << ":" << line << ": " << expression << std::endl;
  std::abort();
}

}  // namespace agentrouter::base
