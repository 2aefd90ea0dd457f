#pragma once
// The description of the API as the program serves it: openapi/openapi.yaml as JSON, embedded by the build.

#include <string_view>

namespace agentrouter::api {

[[nodiscard]] std::string_view openapi_document();

}  // namespace agentrouter::api
