#include "git/handle.h"

namespace agentrouter::git {

std::string last_words() {
  const auto* error = ::git_error_last();
  return error && error->message ? error->message : "no reason given";
}

tl::unexpected<base::Error> failed(const std::string& what) {
  return base::fail(base::Code::unavailable, what + ": " + last_words());
}

std::string to_hex(const git_oid& id) {
  char text[GIT_OID_HEXSZ + 1];
  ::git_oid_tostr(text, sizeof text, &id);
  return text;
}

}  // namespace agentrouter::git
