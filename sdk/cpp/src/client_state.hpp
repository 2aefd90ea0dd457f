#pragma once
// What all calls of a client share, and how their requests are put together.

#include <string>
#include <string_view>

#include "transport.hpp"

namespace agentrouter {

struct Client::State {
  std::shared_ptr<detail::Transport> transport;

  [[nodiscard]] RunPage list(const ListRunsRequest& request, const CallOptions& call) const;

  // Replies that are not JSON come from something else than the server: a proxy, a wrong URL.
  [[nodiscard]] Json json(const detail::HttpRequest& request, const CallOptions& call,
                          detail::Repeat repeat = detail::Repeat::safe) const;
};

namespace detail {

// An id as a part of a path. Throws Error invalid_argument when it is empty: a missing id would turn one
// route into another.
[[nodiscard]] std::string segment(std::string_view id, std::string_view what);
[[nodiscard]] std::string run_path(std::string_view run_id, std::string_view rest = {});
// Nothing for an empty value.
void add_query(std::string& target, std::string_view name, const std::string& value);
// Empty unless positive.
[[nodiscard]] std::string number(std::int64_t value);

[[nodiscard]] HttpRequest post(std::string target, std::string body = "{}");
// An idempotency key makes a POST safe to repeat.
[[nodiscard]] Repeat repeat_with(const std::string& key, HttpRequest& request,
                                 Repeat without = Repeat::never);

// Writes what `fetch` hands to its sink to `file`, which appears under its name only when it is complete. Its
// size.
std::int64_t fetch_to_file(const std::filesystem::path& file, const std::function<void(const Sink&)>& fetch);
// The whole in memory. Throws Error response_too_large above 1 GiB.
[[nodiscard]] std::string fetch_to_memory(std::string_view what,
                                          const std::function<void(const Sink&)>& fetch);

}  // namespace detail
}  // namespace agentrouter
