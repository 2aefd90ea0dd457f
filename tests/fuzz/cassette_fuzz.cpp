// covers: src/egress/cassette.cpp src/egress/canonical_body.cpp src/egress/stream_secrets.cpp src/keeper/replay_diff.cpp
// Cassettes from arbitrary bytes: an error or one that can be played, with at most one mismatch, whose diff is bounded. What is
// recorded of arbitrary traffic is a cassette without the secret, which gives the same answers to the same questions.
//
// An even first byte: the rest is a cassette. An odd one: a request's body, NUL, the pieces of its answer, split at NULs; its other
// bits say what kind of an answer it is.
#include <string>
#include <vector>

#include "base/id.h"
#include "bytes_file.h"
#include "egress/cassette.h"
#include "egress/stream_secrets.h"
#include "keeper/replay_diff.h"
#include "require.h"

using namespace agentrouter;

namespace {

constexpr std::string_view secret = "sk-canary-0123";

class Zeros final : public base::Entropy {
 public:
  void fill(std::span<std::uint8_t> bytes) override { std::fill(bytes.begin(), bytes.end(), std::uint8_t{0}); }
};

const base::Redactor& redactor() {
  static const auto made = [] {
    Zeros entropy;
    return base::Redactor(std::span(&secret, 1), entropy);
  }();
  return made;
}

std::string joined(const sim::Reply& reply) {
  std::string all;
  for (const auto& chunk : reply.chunks) all += chunk.bytes;
  return all;
}

// Asks for everything in the order of the recording; whatever goes wrong is told once.
void play(const std::string& bytes) {
  const auto file = file_of(bytes);
  auto cassette = egress::Cassette::read(file.get());
  if (!cassette) return;
  const auto exchanges = cassette->exchanges();
  int mismatches = 0;
  egress::CassettePlayer player(std::move(*cassette), redactor(), [&](const egress::ReplayMismatch& mismatch) {
    ++mismatches;
    require(keeper::replay_diff(mismatch, 2000).size() <= 2100);
  });
  for (const auto& exchange : exchanges) {
    const auto reply = player.answer(exchange.request.method, exchange.request.path, base::to_text(exchange.request.body));
    require(mismatches == 0 || reply.status == 400);
  }
  std::ignore = player.answer("POST", "/v1/other", bytes);
  require(mismatches == 1 && player.answered() <= exchanges.size());
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0;;) {
    const auto end = text.find('\0', begin);
    parts.push_back(text.substr(begin, end - begin));
    if (end == std::string::npos) return parts;
    begin = end + 1;
  }
}

void record(std::uint8_t kind, const std::string& bytes) {
  const auto parts = split(bytes);
  const auto file = file_of("");
  egress::CassetteWriter writer(file.get(), {"codex", "m"}, redactor());
  std::string given;
  {
    const auto take = writer.begin("POST", "/v1/responses", parts[0]);
    net::Headers headers;
    headers.add("Content-Type", kind & 2 ? "text/event-stream" : "application/json");
    headers.add("X-Request-Id", parts.back());
    if (!(kind & 4)) take->head(200, headers);
    for (std::size_t i = 1; i < parts.size(); ++i) {
      take->piece(parts[i]);
      given += parts[i];
    }
    if (!(kind & 8)) take->finish();
  }
  if (kind & 2) {
    const auto clean = egress::without_split_secrets(given, redactor());
    require(egress::without_split_secrets(clean, redactor()) == clean);
  }
  require(writer.end().has_value() && ::lseek(file.get(), 0, SEEK_SET) == 0);
  const auto text = base::read_all(file.get(), 1u << 24);
  require(text.has_value() && text->find(secret) == std::string::npos && ::lseek(file.get(), 0, SEEK_SET) == 0);
  auto cassette = egress::Cassette::read(file.get());
  require(cassette.has_value());
  bool matched = true;
  egress::CassettePlayer player(std::move(*cassette), redactor(), [&](const egress::ReplayMismatch&) { matched = false; });
  const auto reply = player.answer("POST", "/v1/responses", parts[0]);
  require(matched && reply.status == (kind & 4 ? 502 : 200));
  require((reply.ending == sim::Ending::cut) == ((kind & 8) != 0));
  // What was left out whole is base64 by itself.
  const bool whole = (*text + joined(reply)).find("[REDACTED]") == std::string::npos && !redactor().occurs_in(given);
  if (whole) require(joined(reply) == given);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const auto bytes = bytes_of(data + 1, size - 1);
  if (data[0] % 2 == 0) play(bytes);
  else record(data[0], bytes);
  return 0;
}
