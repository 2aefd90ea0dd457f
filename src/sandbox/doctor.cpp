#include "sandbox/doctor.h"
namespace agentrouter::sandbox {
std::string_view to_string(Found found) {
  switch (found) {
    case Found::ok:
      return "ok";
    case Found::degraded:
      return "degraded";
    case Found::missing:
      return "missing";
  }
  return "missing";
}
}  // namespace agentrouter::sandbox
