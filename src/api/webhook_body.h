#pragma once
// Request bodies about webhooks.

#include "api/issues.h"
#include "webhooks/endpoints.h"

namespace agentrouter::api {

// {url, events, description?, secret?}. Errors: invalid (validation_error).
[[nodiscard]] base::Result<webhooks::NewWebhook> parse_new_webhook(const json::value& body);

// {url?, events?, description?, enabled?}. Errors: invalid (validation_error).
[[nodiscard]] base::Result<webhooks::WebhookChange> parse_webhook_change(const json::value& body);

// {secret?}; empty for none. Errors: invalid (validation_error).
[[nodiscard]] base::Result<std::string> parse_rotation(const json::value& body);

}  // namespace agentrouter::api
