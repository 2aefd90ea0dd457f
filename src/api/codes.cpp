#include "api/codes.h"

#include <algorithm>

namespace agentrouter::api {

const std::vector<CodeFacts>& all_codes() {
  static const std::vector<CodeFacts> table{
      {"bad_request", {400, 408, 413, 415, 417, 431, 501, 505}, "The request cannot be read"},
      {"validation_error", {400}, "The request does not fit its schema"},
      {"unsupported_workspace_attachment", {400}, "A workspace is not attached this way"},
      {"unsupported_tool_configuration", {400}, "Tools are configured on the server"},
      {"unsupported_option", {400}, "This version does not have this option"},
      {"workspace_forbidden", {400}, "The folder is outside the allowed roots"},
      {"mcp_server_unknown", {400}, "The server has no such MCP server"},
      {"policy_unknown", {400}, "The server has no such policy for requests"},
      {"isolation_unavailable", {400}, "The server has no sandbox that isolates as much"},
      {"secret_unknown", {400}, "The policy adds a secret that the server does not have"},
      {"image_unknown", {400}, "The server has no such image"},
      {"model_price_unknown", {400}, "The model has no price, so its cost cannot be limited"},
      {"workspace_not_found", {400}, "There is no such folder"},
      {"policy_invalid", {400}, "The rule is none of the policy language"},
      {"webhook_url_refused", {400}, "Messages do not go to this address"},
      {"archive_unreadable", {400}, "The bytes are no archive that can be read"},
      {"archive_refused", {400}, "The archive holds what a workspace may not"},
      {"archive_limit", {413}, "The archive is over a limit"},
      {"unauthorized", {401}, "No valid API key"},
      {"push_forbidden", {403}, "The configuration does not allow this push"},
      {"not_found", {404}, "There is no such route"},
      {"run_not_found", {404}, "There is no such run"},
      {"turn_not_found", {404}, "The conversation has no such turn"},
      {"artifact_not_found", {404}, "There is no such artifact"},
      {"upload_not_found", {404}, "There is no such upload"},
      {"webhook_not_found", {404}, "There is no such webhook"},
      {"standing_rule_not_found", {404}, "The run has no such rule"},
      {"delivery_not_found", {404}, "The webhook has no such message"},
      {"file_not_found", {404}, "There is no such file"},
      {"files_not_kept", {404}, "The run left no files"},
      {"method_not_allowed", {405}, "The route has other methods"},
      {"conflict", {409}, "The state does not allow it"},
      {"idempotency_conflict", {409}, "The key was used for another request"},
      {"idempotency_in_progress", {409}, "The first request with this key is not done", 1},
      {"run_not_continuable", {409}, "This run cannot be continued"},
      {"session_closed", {409}, "The conversation is closed"},
      {"checkpoint_unavailable", {409}, "The turn has left no state"},
      {"run_busy", {409}, "A turn of the conversation is active", 1},
      {"run_not_active", {409}, "The run has ended or is ending"},
      {"approval_not_requested", {409}, "Nobody asked about this action"},
      {"action_digest_mismatch", {409}, "The action is another one"},
      {"approval_already_decided", {409}, "The opposite decision stands"},
      {"approval_not_pending", {409}, "The approval expired or was withdrawn"},
      {"invalid_action_event", {409}, "The stored question is incomplete"},
      {"standing_rule_limit", {409}, "The run has as many rules as it may have"},
      {"webhook_limit", {409}, "There are as many webhooks as there may be"},
      {"webhook_disabled", {409}, "The webhook is disabled"},
      {"run_not_ended", {409}, "The run is still active"},
      {"no_git_workspace", {409}, "The run's workspace is no clone"},
      {"no_changes", {409}, "The run has changed nothing"},
      {"too_many_changes", {409}, "The run has changed too much for a commit"},
      {"push_rejected", {409}, "The remote does not take the commit"},
      {"push_base_missing", {409}, "The remote does not have the base commit"},
      {"push_bad_name", {409}, "git does not take the name of a file"},
      {"run_not_started", {409}, "The run has no workspace yet"},
      {"not_a_file", {409}, "The path is no regular file"},
      {"not_a_folder", {409}, "The path is no folder"},
      {"file_too_large", {409}, "The file is too large for one answer"},
      {"run_deleted", {410}, "The run was deleted"},
      {"files_gone", {410}, "The files of the run were thrown away"},
      {"range_not_satisfiable", {416}, "The file is shorter"},
      {"budget_exhausted", {429}, "A budget over runs is used up"},
      {"queue_full", {429}, "Too many runs wait", 10},
      {"internal_error", {500}, "A defect of the server"},
      {"artifact_download_unconfigured", {501}, "The server has no byte store"},
      {"push_auth_failed", {502}, "The remote does not take the credential"},
      {"push_unreachable", {502}, "The remote cannot be reached"},
      {"unavailable", {503}, "The server cannot answer now", 1},
      {"overloaded", {503}, "The server has too much to do", 1},
      {"storage_full", {503}, "The server's disk is full", 10},
      {"storage_failed", {503}, "The server's disk refuses", 10},
      {"store_corrupt", {503}, "What the server has stored is damaged", 60},
      {"artifact_damaged", {503}, "The bytes of the artifact are damaged", 60},
      {"push_timeout", {504}, "The push took too long"},
  };
  return table;
}

const CodeFacts* find_code(std::string_view code) {
  const auto& table = all_codes();
  const auto found =
      std::find_if(table.begin(), table.end(), [code](const CodeFacts& facts) { return facts.code == code; });
  return found == table.end() ? nullptr : &*found;
}

}  // namespace agentrouter::api
