#include "agents/provider_failure.h"

namespace agentrouter::agents {

std::string_view cause_of_status(std::int64_t http_status) {
  if (http_status == 401 || http_status == 403) return "provider_auth_failed";
  if (http_status == 402) return "provider_quota_exhausted";
  if (http_status == 404) return "model_not_found";
  if (http_status == 408) return "provider_unavailable";
  if (http_status == 429) return "provider_rate_limited";
  if (http_status >= 500) return "provider_unavailable";
  return "provider_rejected_request";
}

}  // namespace agentrouter::agents
