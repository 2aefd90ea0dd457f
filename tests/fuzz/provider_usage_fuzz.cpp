// covers: src/egress/usage.cpp
// Providers' answers from arbitrary bytes: no crash, and the same counts however they are cut.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "egress/key_filter.h"
#include "egress/usage.h"

using namespace agentrouter::egress;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  UsageMeter whole(UsageMeter::Format::events), cut(UsageMeter::Format::events);
  KeyFilter filter("data: {\"data: {\"x");
  std::string out;
  bool clean = true;
  whole.feed(bytes);
  for (std::size_t at = 0; at < size; ++at) {
    cut.feed(bytes.substr(at, 1));
    clean = clean && filter.feed(bytes.substr(at, 1), out) == KeyFilter::Verdict::clean;
  }
  if (clean) filter.finish(out);
  if (whole.usage().has_value() != cut.usage().has_value()) __builtin_trap();
  if (whole.usage() && whole.usage()->input_tokens != cut.usage()->input_tokens) __builtin_trap();
  if (clean == filter.occurs_in(bytes) || (clean && out != bytes)) __builtin_trap();
  return 0;
}
