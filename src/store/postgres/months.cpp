#include "store/postgres/months.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

namespace agentrouter::store::postgres {

namespace {

using std::chrono::day;
using std::chrono::month;
using std::chrono::year;
using std::chrono::year_month;

year_month date_of(int number) {
  return {year(number / 100), month(static_cast<unsigned>(number % 100))};
}

int number_of(year_month date) {
  return static_cast<int>(date.year()) * 100 + static_cast<int>(static_cast<unsigned>(date.month()));
}

std::int64_t beginning_of(int number) {
  const std::chrono::sys_days first = date_of(number) / day(1);
  return std::chrono::duration_cast<std::chrono::milliseconds>(first.time_since_epoch()).count();
}

std::string partition_of(int number) {
  return "events_" + std::to_string(number);
}

// ATTACH locks the whole table less than CREATE TABLE ... PARTITION OF does: nobody waits for it.
bool make(Session& session, int number) {
  const auto table = partition_of(number);
  if (!session.query_text("SELECT to_regclass($1)", Parameters::of(table)).front().is_null(0)) return false;
  session.send_text("CREATE TABLE " + table + " (LIKE events INCLUDING ALL)");
  session.send_text("ALTER TABLE events ATTACH PARTITION " + table + " FOR VALUES IN (" +
                    std::to_string(number) + ")");
  session.sync();
  return true;
}

bool is_needed(Session& session, int number) {
  return session
      .query_text("SELECT EXISTS (SELECT 1 FROM " + partition_of(number) +
                      ") OR EXISTS (SELECT 1 FROM runs WHERE queued_at >= $1 AND queued_at < $2) "
                      "OR EXISTS (SELECT 1 FROM deleted_runs WHERE month = $3)",
                  Parameters::of(beginning_of(number), beginning_of(month_after(number)), number))
      .front()
      .boolean(0);
}

std::vector<int> partitions(Session& session) {
  std::vector<int> numbers;
  const auto rows = session.query_text(
      "SELECT substr(c.relname, 8) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
      "WHERE i.inhparent = 'events'::regclass AND c.relname ~ '^events_[0-9]{6}$' ORDER BY 1");
  for (const auto row : rows) numbers.push_back(std::stoi(row.text(0)));
  return numbers;
}

}  // namespace

int month_of(base::Time time) {
  using std::chrono::floor;
  const auto days = std::chrono::sys_days(floor<std::chrono::days>(time.time_since_epoch()));
  const std::chrono::year_month_day date(days);
  return std::clamp(number_of({date.year(), date.month()}), 197'001, 999'911);
}

int month_after(int number) {
  return number_of(date_of(number) + std::chrono::months(1));
}

void Months::ensure(Session& session, int number) {
  if (there_.contains(number) || made_.contains(number)) return;
  const bool made = make(session, number);
  const bool made_next = make(session, month_after(number));
  (made || made_next ? made_ : there_).insert(number);
}

int drop_empty_months(Session& session, base::Time now) {
  int dropped = 0;
  for (const int number : partitions(session)) {
    if (month_after(number) >= month_of(now) || is_needed(session, number)) continue;
    try {
      session.begin(Session::Access::write);
      session.send_text("SET LOCAL lock_timeout = '200ms'");
      session.send_text("LOCK TABLE " + partition_of(number) + " IN ACCESS EXCLUSIVE MODE");
      if (!is_needed(session, number)) {
        session.send_text("DROP TABLE " + partition_of(number));
        ++dropped;
      }
      session.commit();
    } catch (const Refused&) {
      session.rollback();  // someone reads it, or has just written to it: it is dropped another time
    }
  }
  return dropped;
}

}  // namespace agentrouter::store::postgres
