#pragma once
// What PostgreSQL refuses, in the words of the house: the SQLSTATE decides what the caller should do.

#include <string>
#include <string_view>

#include "base/error.h"

namespace agentrouter::store::postgres {

// unavailable: storage_full (53100), storage_failed (connections, shutdowns, failovers, read-only servers,
// timeouts of statements and locks, deadlocks, I/O errors); corrupt: store_corrupt (class XX); denied:
// storage_failed (no access); invalid: text_not_storable; internal for everything else.
[[nodiscard]] base::Error postgres_error(std::string_view sqlstate, const std::string& message);

// The server cannot write and never will as it is: the connection leads to a standby.
[[nodiscard]] bool is_read_only(std::string_view sqlstate);

// `text` without the password of `url`, in one line.
[[nodiscard]] std::string without_password(std::string text, const std::string& url);

// Errors: invalid (store_url_invalid); never shows the URL.
[[nodiscard]] base::Result<void> check_url(const std::string& url);
// Host and database, for logs: "db.example:5432/agentrouter".
[[nodiscard]] std::string place_of(const std::string& url);
// The password in it, as it is and as the URL writes it; empty when there is none.
[[nodiscard]] std::string password_of(const std::string& url);

}  // namespace agentrouter::store::postgres
