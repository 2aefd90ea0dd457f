#pragma once
// One command line, understood: plain values, whatever library read them.

#include <cstdint>
#include <string>
#include <vector>

namespace agentrouter::cli {

struct Command {
  std::string name;
  bool json = false;
  std::string data;          // --data; empty: the default
  std::string workspace_id;  // --workspace-id; empty: the environment's, or the key's only one

  // run
  std::string task;     // "-": from standard input
  std::string runtime;  // of run and runs; empty: codex, any
  std::string mode;
  std::string model;
  std::string approve;
  std::string scope;              // of what is approved; empty: run
  std::string policy;             // that the run is held to; empty: the server's own
  std::string image;              // that its agent works in; empty: the server's default
  std::string require_isolation;  // process, user-kernel, vm; empty: what there is
  std::vector<std::string> requirements;  // "key=value" labels that its worker must have
  std::string workspace;          // a folder or a URL
  std::string ref;                // of a URL
  std::string subdir;             // of a URL
  int depth = 0;                  // of a URL
  bool upload = false;            // send the folder although the server may see it
  bool apply = false;             // take the changes over without a question
  double max_cost = 0;            // in US dollars; 0 here and below: the server's
  std::int64_t max_wall = 0;      // in seconds
  std::int64_t max_tokens = 0;
  std::int64_t max_actions = 0;
  std::int64_t max_output = 0;   // in bytes
  std::int64_t max_network = 0;  // in bytes
  std::int64_t max_memory = 0;   // in bytes
  std::int64_t max_disk = 0;     // in bytes
  std::int64_t max_cpu = 0;      // in percent of a core
  std::int64_t max_pids = 0;
  std::string from_run;           // the run whose files to begin with
  std::string continue_run;       // a run of the conversation to continue
  std::string fork_run;           // a run of the conversation to fork
  int at_turn = 0;                // of fork_run; 0: the newest
  std::vector<std::string> tags;  // of run and runs: "key=value"
  bool sim = false;
  std::string record;  // a folder for cassettes
  std::string replay;  // a folder of cassettes

  // of every command about one run
  std::string run_id;  // of approvals: empty for all

  // runs
  std::string status;
  std::string query;
  int limit = 0;
  std::string cursor;
  bool all = false;

  // events
  bool follow = false;
  std::int64_t after = 0;

  // approve, deny
  std::string action_id;
  std::string reason;

  // approvals
  bool watch = false;
  bool rules = false;                     // list those of the run
  std::vector<std::string> approve_rest;  // KEY=VALUE of one rule
  std::vector<std::string> deny_rest;
  std::string withdraw;  // a rule's id

  // audit, webhooks
  std::string verb;  // export, verify, head; list, create, show...

  // audit
  std::string file;         // to verify; "-": standard input
  std::string from_export;  // the export before this one
  std::string head;         // that must be part of the chain
  std::string events_file;  // of one run
  bool part = false;        // the export may begin anywhere

  // webhooks
  std::string hook_id;
  std::string message_id;
  std::string url;
  std::vector<std::string> hook_events;
  std::string secret;

  // keys, workspaces
  std::string key_id;  // of a key or a workspace
  std::string display_name;
  std::vector<std::string> key_scopes;
  std::vector<std::string> key_workspaces;
  std::string expires;
  std::int64_t overlap = 3600;  // seconds
  // provider-keys
  std::string provider;
  std::string key_file;  // empty: standard input

  // vault
  bool new_master_key = false;
  bool new_data_keys = false;
  bool abandon_lost = false;
  // nodes
  std::string node_id;

  // download
  std::string artifact;  // an id or a kind; empty: all

  // files
  std::string path;    // of one file; empty: the list
  std::string folder;  // to list; empty: the workspace
  bool recursive = false;

  // archive
  bool changes = false;

  // logs
  bool errors = false;

  // download, files, archive
  std::string output;  // "-": standard output

  // push
  std::string branch;
  std::string message;

  // completion
  std::string shell;
};

// What shells need to know to complete a command.
struct FlagInfo {
  std::vector<std::string> names;  // "--follow", "-f"
  std::string summary;
  bool takes_value = false;
  std::vector<std::string> choices;
};

struct CommandInfo {
  std::string name;
  std::string summary;
  std::string example;
  std::vector<FlagInfo> flags;
};

}  // namespace agentrouter::cli
