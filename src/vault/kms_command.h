#pragma once
// A key management service behind a program: it wraps and unwraps data keys with a master key that this
// machine never sees. One start of the program per question: a line of JSON on its standard input, a line on
// its standard output. docs/formats/sealed.md has the protocol.
//
//   {"version":1,"operation":"wrap","context":{"workspace":"default","dataKey":"1"},"data":"<base64>"}
//   {"keyId":"alias/agentrouter","data":"<base64>"}

#include <chrono>
#include <string>
#include <vector>

#include "vault/sealed.h"

namespace agentrouter::vault {

struct KmsConfig {
  std::vector<std::string> argv;         // the program by its path, or by a name of PATH
  std::vector<std::string> environment;  // "NAME=value"
  std::chrono::milliseconds timeout = std::chrono::seconds(10);
};

struct KmsWrapped {
  std::string key_id;  // as the service names its key
  std::string data;    // base64, opaque
};

class KmsCommand {
 public:
  explicit KmsCommand(KmsConfig config) : config_(std::move(config)) {}

  // All block, for the timeout at most, and may be called by any thread.
  //
  // Errors: unavailable (vault_locked): the program cannot be started, ends with another status than 0,
  // answers nothing that can be read, more than 64 KiB, or {"error": "..."}; timeout (vault_locked): no
  // answer in time, and the program and all that it started in its group are killed. The message names the
  // program and what it said wrong, never what it was given.
  [[nodiscard]] base::Result<KmsWrapped> wrap(const Key& key, const Place& place) const;
  [[nodiscard]] base::Result<Key> unwrap(const KmsWrapped& wrapped, const Place& place) const;
  // The name of the key that wrap() uses now.
  [[nodiscard]] base::Result<std::string> key_id() const;

 private:
  KmsConfig config_;
};

}  // namespace agentrouter::vault
