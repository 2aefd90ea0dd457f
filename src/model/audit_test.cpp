#include "model/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace agentrouter::model {

namespace {

using ::testing::HasSubstr;

// A chain of one entry of each kind, as lines of an export.
class AuditChain : public ::testing::Test {
 protected:
  AuditChain() {
    std::string previous = audit_origin();
    for (const auto* type : {"run.created", "action.proposed", "policy.evaluated", "approval.requested",
                             "approval.decided", "action.edited", "execution.started", "execution.completed",
                             "limit.exceeded", "run.completed"}) {
      AuditEntry entry;
      entry.number = static_cast<std::int64_t>(lines_.size()) + 1;
      entry.time = base::Time(std::chrono::milliseconds(1'780'000'000'000 + entry.number));
      entry.run_id = RunId("run_1");
      entry.sequence = entry.number - 1;
      entry.event_id = "evt_" + std::to_string(entry.number);
      entry.type = type;
      entry.actor = "human";
      entry.who = "key_1";
      entry.action_id = "action_1";
      entry.action_digest = "sha256:" + std::string(64, 'a');
      entry.payload_digest = "sha256:" + std::string(64, 'b');
      entry.previous = previous;
      entry.hash = previous = audit_hash(entry.to_json());
      lines_.push_back(base::to_canonical(entry.to_json()));
      entries_.push_back(entry);
    }
  }
  static std::string verdict(const std::vector<std::string>& lines, AuditKnown known = {}) {
    AuditVerifier verifier(std::move(known));
    for (const auto& line : lines) {
      if (auto taken = verifier.take(line); !taken) return taken.error().reason;
    }
    const auto done = verifier.finish();
    return done ? "intact" : done.error().reason;
  }
  static std::string message(const std::vector<std::string>& lines, AuditKnown known = {}) {
    AuditVerifier verifier(std::move(known));
    for (const auto& line : lines) {
      if (auto taken = verifier.take(line); !taken) return taken.error().message;
    }
    const auto done = verifier.finish();
    return done ? "" : done.error().message;
  }
  // A chain that begins to differ at this entry, with hashes that fit.
  std::vector<std::string> rewritten(std::size_t from) {
    auto lines = std::vector<std::string>(lines_.begin(), lines_.begin() + static_cast<long>(from));
    auto previous = from == 0 ? audit_origin() : entries_[from - 1].hash;
    for (auto i = from; i < entries_.size(); ++i) {
      auto entry = entries_[i];
      entry.who = "somebody else";
      entry.previous = previous;
      entry.hash = previous = audit_hash(entry.to_json());
      lines.push_back(base::to_canonical(entry.to_json()));
    }
    return lines;
  }
  AuditHead head_of(std::size_t index) { return {entries_[index].number, entries_[index].hash}; }

  std::vector<AuditEntry> entries_;
  std::vector<std::string> lines_;
};

TEST_F(AuditChain, IsIntactAsItWasMade) {
  EXPECT_EQ(verdict(lines_), "intact");
  EXPECT_EQ(verdict({}), "intact");
  EXPECT_EQ(verdict(lines_, {.head = head_of(9)}), "intact");
  EXPECT_EQ(verdict(lines_, {.head = head_of(3)}), "intact");
}

TEST_F(AuditChain, AChangeOfAnyFieldOfAnyEntryIsSeen) {
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    const auto whole = entries_[i].to_json();
    for (const auto& [name, value] : whole) {
      auto changed = whole;
      if (value.is_string()) {
        auto text = std::string(value.get_string());
        text.back() = text.back() == '0' ? '1' : '0';
        changed[name] = text;
      } else {
        changed[name] = value.as_int64() + 1;
      }
      auto lines = lines_;
      lines[i] = base::to_canonical(changed);
      EXPECT_EQ(verdict(lines), "audit_changed") << i << name;
      EXPECT_EQ(message(lines).substr(0, 6), "entry ") << i << name;
    }
    auto added = whole;
    added["more"] = 1;
    auto lines = lines_;
    lines[i] = base::to_canonical(added);
    EXPECT_EQ(verdict(lines), "audit_changed");
  }
}

TEST_F(AuditChain, AnEntryThatIsMissingIsNamed) {
  for (std::size_t i = 0; i + 1 < lines_.size(); ++i) {
    auto lines = lines_;
    lines.erase(lines.begin() + static_cast<long>(i));
    EXPECT_EQ(verdict(lines), "audit_missing") << i;
    if (i > 0) {
      EXPECT_THAT(message(lines), HasSubstr("entry " + std::to_string(i + 1) + " before it is missing"));
    }
  }
  auto lines = lines_;
  lines.erase(lines.begin() + 2, lines.begin() + 5);
  EXPECT_THAT(message(lines), HasSubstr("entries 3 to 5 before it are missing"));
}

TEST_F(AuditChain, EntriesThatChangedPlacesOrStandThereTwiceAreSeen) {
  for (std::size_t i = 0; i + 1 < lines_.size(); ++i) {
    auto swapped = lines_;
    std::swap(swapped[i], swapped[i + 1]);
    EXPECT_EQ(verdict(swapped), "audit_missing") << i;
    auto twice = lines_;
    twice.insert(twice.begin() + static_cast<long>(i), lines_[i]);
    EXPECT_EQ(verdict(twice), "audit_reordered") << i;
  }
}

TEST_F(AuditChain, AnInsertedEntryDoesNotFitWhateverItsHash) {
  for (std::size_t i = 1; i < lines_.size(); ++i) {
    auto forged = entries_[i];
    forged.who = "nobody";
    forged.hash = audit_hash(forged.to_json());
    auto lines = lines_;
    lines.insert(lines.begin() + static_cast<long>(i), base::to_canonical(forged.to_json()));
    EXPECT_EQ(verdict(lines), "audit_reordered") << i;
    lines.erase(lines.begin() + static_cast<long>(i) + 1);
    EXPECT_EQ(verdict(lines), i + 1 == entries_.size() ? "intact" : "audit_rewritten") << i;
    EXPECT_NE(verdict(lines, {.head = head_of(9)}), "intact") << i;
  }
}

TEST_F(AuditChain, WhatIsCutOffAtTheEndIsSeenAgainstAKnownHead) {
  for (std::size_t left = 0; left + 1 < lines_.size(); ++left) {
    const std::vector<std::string> lines(lines_.begin(), lines_.begin() + static_cast<long>(left));
    EXPECT_EQ(verdict(lines), "intact") << left;
    EXPECT_EQ(verdict(lines, {.head = head_of(9)}), "audit_truncated") << left;
    EXPECT_EQ(verdict(lines, {.head = AuditHead{std::nullopt, entries_[9].hash}}), "audit_truncated");
  }
  const std::vector<std::string> lines(lines_.begin(), lines_.begin() + 4);
  EXPECT_THAT(message(lines, {.head = head_of(9)}), HasSubstr("ends with entry 4, but entry 10"));
}

TEST_F(AuditChain, ARewrittenChainIsSeenOnlyAgainstAKnownHead) {
  for (std::size_t from = 0; from < lines_.size(); ++from) {
    EXPECT_EQ(verdict(rewritten(from)), "intact") << from;
    EXPECT_EQ(verdict(rewritten(from), {.head = head_of(9)}), "audit_rewritten") << from;
    EXPECT_EQ(verdict(rewritten(from), {.head = AuditHead{std::nullopt, entries_[9].hash}}),
              "audit_truncated");
  }
}

TEST_F(AuditChain, AnExportGoesOnFromTheOneBefore) {
  const std::vector<std::string> rest(lines_.begin() + 4, lines_.end());
  EXPECT_EQ(verdict(rest), "audit_missing");
  EXPECT_EQ(verdict(rest, {.part = true}), "intact");
  EXPECT_EQ(verdict(rest, {.begins_behind = head_of(3)}), "intact");
  EXPECT_EQ(verdict(rest, {.begins_behind = head_of(2)}), "audit_missing");
  EXPECT_EQ(verdict(rest, {.begins_behind = head_of(5)}), "intact");
  EXPECT_EQ(verdict(lines_, {.begins_behind = head_of(5)}), "intact");
  EXPECT_EQ(verdict({}, {.begins_behind = head_of(5)}), "audit_truncated");
  auto other = rewritten(2);
  EXPECT_EQ(verdict(other, {.begins_behind = head_of(5)}), "audit_rewritten");
  other.erase(other.begin(), other.begin() + 4);
  EXPECT_EQ(verdict(other, {.begins_behind = head_of(3)}), "audit_missing");
}

TEST_F(AuditChain, WhatReadersOfJsonCouldTakeDifferentlyIsNoEntry) {
  auto lines = lines_;
  lines[3].insert(1, R"("who":"somebody else",)");
  EXPECT_EQ(verdict(lines), "audit_changed");
  lines[3] = " " + lines_[3];
  EXPECT_EQ(verdict(lines), "audit_changed");
  for (const auto* line : {"", "{}", "[]", "null", "{\"number\":1}", "not json"}) {
    lines[3] = line;
    EXPECT_EQ(verdict(lines), "audit_unreadable") << line;
  }
}

TEST_F(AuditChain, EntriesOfAnotherWorkspaceAreNoPartOfIt) {
  auto entry = entries_[4];
  entry.workspace = "other";
  entry.hash = audit_hash(entry.to_json());
  auto lines = lines_;
  lines[4] = base::to_canonical(entry.to_json());
  EXPECT_EQ(verdict(lines), "audit_reordered");
}

TEST(AuditHead, IsAHashWithOrWithoutItsNumber) {
  const auto hash = "sha256:" + std::string(64, 'c');
  EXPECT_EQ(parse_audit_head(hash)->hash, hash);
  EXPECT_FALSE(parse_audit_head(hash)->number);
  EXPECT_EQ(parse_audit_head("1042:" + hash)->number, 1042);
  EXPECT_EQ(parse_audit_head("1042:" + hash)->hash, hash);
  for (const std::string& text : {std::string(), std::string("sha256:"), "0:" + hash, "x:" + hash,
                                 hash + "0", "sha256:" + std::string(64, 'C'), ":" + hash})
    EXPECT_FALSE(parse_audit_head(text)) << text;
}

}  // namespace

}  // namespace agentrouter::model
