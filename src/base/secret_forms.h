#pragma once
// The ways in which programs write a secret down: as it is, in hex, percent-encoded, in base64 behind
// anything that may stand before it, escaped in JSON or HTML. What the libraries of the usual languages leave
// as it is differs, so some of these are several forms. Not encrypted, compressed, reversed or in pieces.

#include <functional>
#include <string_view>

namespace agentrouter::base {

struct SecretForm {
  std::string_view text;       // dies when the callback returns, and is wiped
  bool stands_in_json = true;  // false: JSON would write it in another way
};

// A form may come more than once. "Bearer WORD" is a secret that ends with a word: only the word is one, when
// it is not too short. Of a word like NAME="VALUE" or NAME=VALUE the value is a secret, too. Forms of fewer
// than `least` bytes are left out.
void each_secret_form(std::string_view secret, std::size_t least,
                      const std::function<void(const SecretForm&)>& take);

}  // namespace agentrouter::base
