#pragma once
// Master keys as people keep them: a file or a variable with one key per line or word, 32 bytes in base64 or
// hex. The first one seals; the others open what was sealed before, until a rotation is done.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "vault/sealed.h"

namespace agentrouter::vault {

// A new key as text, without a line end. The text is the key: wipe it, or give it to whoever keeps it.
[[nodiscard]] std::string new_master_key(base::Entropy& entropy);

// The error of keys from `where` that cannot be used: invalid (master_key_invalid).
[[nodiscard]] tl::unexpected<base::Error> refuse_master_key(const std::string& where, const std::string& why);

// At least one and at most 16; comments from "#" to the end of a line. `where` is for the error.
//
// Errors: invalid (master_key_invalid): none, too many, or a word that is no key. The message never repeats
// it.
[[nodiscard]] base::Result<std::vector<Key>> parse_master_keys(std::string_view text,
                                                               const std::string& where);

// Reads a file that nobody but its owner may read or write, and that belongs to this user or root.
//
// Errors: not_found, invalid (master_key_invalid: those of parse_master_keys, and what others may read),
// read(2).
[[nodiscard]] base::Result<std::vector<Key>> read_master_keys(const std::filesystem::path& file);

// Durable, 0600; each key on a line.
[[nodiscard]] base::Result<void> write_master_keys(const std::filesystem::path& file,
                                                   const std::vector<Key>& keys);

}  // namespace agentrouter::vault
