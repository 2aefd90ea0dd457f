#include "sandbox/seccomp.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include <cerrno>
#include <cstddef>
#include <map>
#include <optional>
#include <span>

#include "sandbox/seccomp_groups.h"

namespace agentrouter::sandbox {
namespace {

using base::Result;

// Numbers of the x32 table have this bit; so has -1, which is no call at all.
constexpr std::uint32_t x32_bit = 0x40000000;

constexpr std::uint32_t allow = SECCOMP_RET_ALLOW;
constexpr std::uint32_t refuse_with(int error) {
  return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error);
}

std::optional<std::uint32_t> number_of(std::string_view name) {
  for (const auto& call : new_calls()) {
    if (call.name == name) return static_cast<std::uint32_t>(call.number);
  }
  const int number = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, std::string(name).c_str());
  if (number < 0) return std::nullopt;
  return static_cast<std::uint32_t>(number);
}

std::uint32_t answer_for(Reach reach, Profile profile) {
  if (profile == Profile::sealed) return allow;
  switch (reach) {
    case Reach::everybody:
      return allow;
    case Reach::agent:
      return profile == Profile::agent ? allow : refuse_with(EPERM);
    case Reach::refused:
      return refuse_with(EPERM);
    case Reach::absent:
      return refuse_with(ENOSYS);
  }
  return refuse_with(EPERM);
}

// What is done about one number: its rules in order, then `otherwise`.
struct Verdict {
  std::uint32_t otherwise = refuse_with(ENOSYS);
  std::vector<const ArgumentRule*> rules;
  bool operator==(const Verdict&) const = default;
};

// From `first` on, until the next range begins.
struct Numbers {
  std::uint32_t first = 0;
  Verdict verdict;
};

class Program {
 public:
  void put(std::uint16_t code, std::uint32_t value, std::uint8_t if_true = 0, std::uint8_t if_false = 0) {
    code_.push_back({code, if_true, if_false, value});
  }
  void load(std::size_t offset) { put(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)); }
  void answer(std::uint32_t value) { put(BPF_RET | BPF_K, value); }

  void check_architecture() {
    load(offsetof(seccomp_data, arch));
    put(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    answer(SECCOMP_RET_KILL_PROCESS);
    load(offsetof(seccomp_data, nr));
    put(BPF_JMP | BPF_JEQ | BPF_K, 0xffffffff, 2, 0);
    put(BPF_JMP | BPF_JGE | BPF_K, x32_bit, 0, 1);
    answer(SECCOMP_RET_KILL_PROCESS);
  }

  // Halves the ranges until one is left. The number of the call is in the accumulator.
  void search(std::span<const Numbers> ranges) {
    if (ranges.size() == 1) return decide(ranges.front().verdict);
    const auto half = ranges.size() / 2;
    put(BPF_JMP | BPF_JGE | BPF_K, ranges[half].first, 0, 1);
    const auto jump = code_.size();
    put(BPF_JMP | BPF_JA, 0);
    search(ranges.first(half));
    code_[jump].k = static_cast<std::uint32_t>(code_.size() - jump - 1);
    search(ranges.subspan(half));
  }

  [[nodiscard]] std::vector<sock_filter> take() { return std::move(code_); }

 private:
  void decide(const Verdict& verdict) {
    for (const auto* rule : verdict.rules) apply(*rule);
    answer(verdict.otherwise);
  }

  // Falls through to what is behind it when something that is looked at is not so.
  void apply(const ArgumentRule& rule) {
    std::vector<std::size_t> leave;
    for (const auto& look : rule.looks) look_at(look, leave);
    answer(refuse_with(rule.error));
    for (const auto at : leave) code_[at].k = static_cast<std::uint32_t>(code_.size() - at - 1);
  }

  // `leave`: jumps to be aimed behind the rule.
  void look_at(const Look& look, std::vector<std::size_t>& leave) {
    const std::size_t half = look.half == Look::Half::upper ? sizeof(std::uint32_t) : 0;
    load(offsetof(seccomp_data, args) + look.argument * sizeof(std::uint64_t) + half);
    if (look.mask != 0xffffffff) put(BPF_ALU | BPF_AND | BPF_K, look.mask);
    const std::uint16_t compare =
        BPF_JMP | BPF_K | (look.is == Look::Is::with_any_bit_of ? BPF_JSET : BPF_JEQ);
    // A comparison that holds jumps over those behind it and one more: the way out, or what goes around it.
    const auto count = look.values.size();
    for (std::size_t i = 0; i < count; ++i)
      put(compare, look.values[i], static_cast<std::uint8_t>(count - i), 0);
    if (look.is == Look::Is::none_of) put(BPF_JMP | BPF_JA, 1);
    leave.push_back(code_.size());
    put(BPF_JMP | BPF_JA, 0);
  }

  std::vector<sock_filter> code_;
};

Result<std::vector<Numbers>> ranges_of(Profile profile) {
  std::map<std::uint32_t, Verdict> by_number;
  for (const auto& group : call_groups()) {
    for (const auto call : group.calls) {
      const auto number = number_of(call);
      if (!number)
        return base::fail(base::Code::unsupported,
                          "cannot compile the seccomp filter: nobody knows " + std::string(call));
      Verdict verdict{answer_for(group.reach, profile), {}};
      for (const auto& rule : profile == Profile::sealed ? sealing_rules() : argument_rules()) {
        if (rule.call == call && verdict.otherwise == allow) verdict.rules.push_back(&rule);
      }
      by_number[*number] = std::move(verdict);
    }
  }
  // A filter on top of another says nothing of what that one does not know.
  const Verdict others{profile == Profile::sealed ? allow : refuse_with(ENOSYS), {}};
  std::vector<Numbers> ranges = {{0, others}};
  const auto begin_at = [&](std::uint32_t first, const Verdict& verdict) {
    if (ranges.back().verdict == verdict) return;
    if (ranges.back().first == first) ranges.pop_back();
    ranges.push_back({first, verdict});
  };
  for (const auto& [number, verdict] : by_number) {
    begin_at(number, verdict);
    if (!by_number.contains(number + 1)) begin_at(number + 1, others);
  }
  return ranges;
}

Result<std::vector<sock_filter>> compile(Profile profile) {
  auto ranges = ranges_of(profile);
  if (!ranges) return tl::unexpected(ranges.error());
  Program program;
  program.check_architecture();
  program.search(*ranges);
  return program.take();
}

}  // namespace

Result<std::vector<sock_filter>> seccomp_filter(Profile profile) {
  static const auto agent = compile(Profile::agent);
  static const auto collector = compile(Profile::collector);
  static const auto sealed = compile(Profile::sealed);
  if (profile == Profile::sealed) return sealed;
  return profile == Profile::agent ? agent : collector;
}

}  // namespace agentrouter::sandbox
