#pragma once
// The partitions of events, one for each month in which runs were asked for. The writer makes them under its
// turn, each together with the next one, so that a month begins without waiting for anything. Making one
// takes no lock that readers or writers of the others notice.

#include <set>

#include "base/clock.h"
#include "store/postgres/session.h"

namespace agentrouter::store::postgres {

// 202611 for November 2026, in UTC.
[[nodiscard]] int month_of(base::Time time);
[[nodiscard]] int month_after(int month);

class Months {
 public:
  // Makes the partition of the month where it is missing, and the one after it.
  void ensure(Session& session, int month);
  // For a transaction that begins, and a savepoint that was undone: what was made since the last one is
  // looked for again.
  void forget_made() { made_.clear(); }

 private:
  std::set<int> there_;
  std::set<int> made_;  // in a transaction that may still be undone
};

// Drops partitions that no run needs any more: those before last month in which nothing is left. Gives up on
// one that is being read at this moment. In transactions of its own. How many there were.
int drop_empty_months(Session& session, base::Time now);

}  // namespace agentrouter::store::postgres
