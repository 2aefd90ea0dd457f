#pragma once
// What a key looks like: "ar_live_", 43 characters of base62 for 256 random bits, and six more for a
// checksum, so that a scanner finds keys in what was published by mistake, and a typo is told from a key that
// was revoked without asking the store. What is kept of a key is its SHA-256: with so many random bits
// nothing slower is needed.

#include <string>
#include <string_view>

#include "base/id.h"

namespace agentrouter::tenancy {

[[nodiscard]] std::string new_key_text(base::Entropy& entropy);

// Of this form, with a checksum that fits: the first four bytes of the SHA-256 of all before it, as base62.
[[nodiscard]] bool is_key_text(std::string_view text);

// sha256 hex.
[[nodiscard]] std::string hash_of_key(std::string_view text);
// "key_" and the begin of the hash: how a key is named wherever it acts, without giving anything of it away.
[[nodiscard]] std::string id_of_key(std::string_view hash);
// The begin of the text, for people who look for a key that they have: far too little to guess the rest.
[[nodiscard]] std::string shown_of_key(std::string_view text);

}  // namespace agentrouter::tenancy
