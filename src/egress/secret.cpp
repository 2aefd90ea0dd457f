#include "egress/secret.h"

#include <algorithm>

namespace agentrouter::egress {

using base::Code;
using base::fail;
using base::Result;

namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const auto begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

bool fits_a_header(std::string_view key, char least) {
  return std::all_of(key.begin(), key.end(), [least](char c) { return c >= least && c < 0x7f; });
}

}  // namespace

Result<Secret> Secret::take(SecretBuffer buffer, Blanks blanks) {
  const auto view = trim(buffer.view());
  if (view.empty()) return fail(Code::invalid, "cannot use a secret: it is empty");
  if (!fits_a_header(view, blanks == Blanks::inside ? ' ' : '!')) {
    return fail(Code::invalid, "cannot use a secret: it holds a blank, a control or a non-ASCII byte");
  }
  return Secret(std::move(buffer), view);
}

Result<Secret> Secret::create(std::string_view key) {
  if (key.size() > max_bytes) return fail(Code::invalid, "cannot use a secret: it is too long");
  SecretBuffer buffer(std::max<std::size_t>(key.size(), 1));
  buffer.append(key);
  return take(std::move(buffer));
}

Result<Secret> Secret::read_from(int fd) {
  SecretBuffer buffer(max_bytes + 1);
  for (;;) {
    auto got = buffer.read_from(fd);
    if (!got && got.error().code == Code::exhausted) {
      return fail(Code::invalid, "cannot use a secret: it is too long");
    }
    if (!got) return tl::unexpected(std::move(got).error());
    if (*got == 0) return take(std::move(buffer));
  }
}

Result<Secret> Secret::create_field(std::string_view value) {
  if (value.size() > max_bytes) return fail(Code::invalid, "cannot use a secret: it is too long");
  SecretBuffer buffer(std::max<std::size_t>(value.size(), 1));
  buffer.append(value);
  return take(std::move(buffer), Blanks::inside);
}

Result<Secret> Secret::read_field(int fd, std::size_t size) {
  if (size == 0 || size > max_bytes) return fail(Code::invalid, "cannot read a secret: it has no valid size");
  SecretBuffer buffer(size);
  while (buffer.size() < size) {
    AGENTROUTER_TRY(const auto got, buffer.read_from(fd));
    if (got == 0) return fail(Code::invalid, "cannot read a secret: it is cut");
  }
  return take(std::move(buffer), Blanks::inside);
}

}  // namespace agentrouter::egress
