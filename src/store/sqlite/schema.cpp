#include "store/sqlite/schema.h"

#include <array>

#include "store/sqlite/schema_steps.h"

namespace agentrouter::store {

namespace {

// "AgRt": tells our files from other SQLite databases.
constexpr std::int64_t application_id = 0x41675274;

constexpr std::array<const char* const*, 12> steps{
    &schema_step::first, &schema_step::second, &schema_step::third,       &schema_step::fourth,
    &schema_step::fifth, &schema_step::sixth,  &schema_step::seventh,     &schema_step::eighth,
    &schema_step::ninth, &schema_step::tenth,  &schema_step::sealed_keys, &schema_step::lanes_and_notes};

std::int64_t pragma(Connection& connection, std::string_view sql) {
  auto statement = connection.statement(sql);
  return statement.step() ? statement.integer(0) : 0;
}

void take(Connection& connection, std::size_t step) {
  connection.execute("BEGIN IMMEDIATE");
  connection.execute(*steps[step]);
  connection.execute(("PRAGMA application_id = " + std::to_string(application_id)).c_str());
  connection.execute(("PRAGMA user_version = " + std::to_string(step + 1)).c_str());
  connection.execute("COMMIT");
}

}  // namespace

int schema_version() {
  return static_cast<int>(steps.size());
}

base::Result<void> check_schema(Connection& connection) {
  const auto version = pragma(connection, "PRAGMA user_version");
  const bool empty = pragma(connection, "SELECT count(*) FROM sqlite_schema") == 0;
  const bool ours = pragma(connection, "PRAGMA application_id") == application_id;
  if (!ours && !(empty && version == 0)) {
    return base::fail(base::Code::corrupt, "cannot open the store: the file is another program's database",
                      "store_corrupt");
  }
  if (version > schema_version()) {
    return base::fail(base::Code::unsupported,
                      "cannot open the store: its schema " + std::to_string(version) +
                          " was written by a newer version; this one knows " +
                          std::to_string(schema_version()),
                      "schema_newer");
  }
  return {};
}

void migrate(Connection& connection, int version) {
  const auto last = static_cast<std::size_t>(version);
  auto step = static_cast<std::size_t>(pragma(connection, "PRAGMA user_version"));
  for (; step < last; ++step) take(connection, step);
}

}  // namespace agentrouter::store
