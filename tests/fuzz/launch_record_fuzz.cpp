// covers: src/sandbox/spec.cpp
// The record that a warden is sent, from arbitrary bytes over a good one: no crash, and whatever is let through has all its texts
// within the record and an id that is nothing but a name.
#include <cstring>
#include <memory>

#include "base/file.h"
#include "bytes_file.h"
#include "require.h"
#include "sandbox/spec.h"

using namespace agentrouter;

namespace {

const sandbox::EncodedLaunch& good() {
  static const auto encoded = [] {
    sandbox::LaunchRequest request;
    static const auto folder = base::value_or_throw(base::open_directory("/"));
    request.attempt = {folder.get(), "attempt_0b9f3c5e-6a3f-4a39-9a4e-0e8d0f6c2b11"};
    request.plan = sandbox::curated_plan();
    request.plan.files.push_back({"/home/agent/.codex/config.toml", "a = 1\n"});
    request.keeper_argv = {"agentrouter", "keeper"};
    return base::value_or_throw(sandbox::encode(request));
  }();
  return encoded;
}

bool ends(const sandbox::init::Spec& spec, std::uint32_t offset) {
  return offset < sandbox::init::max_text && std::memchr(spec.text + offset, 0, sandbox::init::max_text - offset) != nullptr;
}

}  // namespace

// Each three bytes change one: its place, and what it becomes. A first byte that is odd changes the descriptors' number.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  auto record = std::make_unique<sandbox::LaunchRecord>();
  std::memcpy(record.get(), good().bytes.data(), sizeof *record);
  auto* bytes = reinterpret_cast<std::uint8_t*>(record.get());
  auto fds = good().fds;
  if (data[0] & 1) fds.resize(data[1] % 50, fds.front());
  // The text is long: places beyond the structure before it are folded onto its beginning.
  const auto head = offsetof(sandbox::init::Spec, text) + 64;
  for (std::size_t i = 2; i + 2 < size; i += 3) {
    const auto place = (data[i] << 8 | data[i + 1]) % (head + sizeof *record - sizeof(sandbox::init::Spec));
    bytes[place < head ? place : sizeof(sandbox::init::Spec) + place - head] = data[i + 2];
  }
  const auto checked = sandbox::check(*record, fds);
  if (!checked) return 0;
  const auto& spec = record->spec;
  require(sandbox::check_attempt_id(checked->attempt.id).has_value() && checked->attempt.id.find('/') == std::string::npos);
  require(spec.bind_count <= sandbox::init::max_binds && spec.file_count <= sandbox::init::max_files && spec.link_count <= sandbox::init::max_links);
  require(spec.layer_count <= sandbox::init::max_layers && spec.home_layers <= spec.layer_count);
  require(checked->binds.size() == spec.bind_count && checked->layers.size() == spec.layer_count && !checked->keeper_argv.empty());
  for (unsigned i = 0; i < spec.bind_count; ++i) require(ends(spec, spec.binds[i].to));
  for (unsigned i = 0; i < spec.file_count; ++i) {
    require(ends(spec, spec.files[i].path) && spec.files[i].content + std::uint64_t{spec.files[i].size} <= sandbox::init::max_text);
  }
  for (unsigned i = 0; i < spec.link_count; ++i) require(ends(spec, spec.links[i].path) && ends(spec, spec.links[i].target));
  return 0;
}
