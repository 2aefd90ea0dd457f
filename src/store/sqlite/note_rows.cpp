// Notes of the servers to each other.

#include "store/sqlite/columns.h"
#include "store/sqlite/transaction.h"

namespace agentrouter::store {

std::optional<Note> Rows::note(std::string_view kind, std::string_view id) {
  auto statement = connection_.statement("SELECT kind, id, text FROM notes WHERE kind = ? AND id = ?");
  statement.bind(kind).bind(id);
  return one(std::move(statement), [](const Statement& row) { return Note{row.text(0), row.text(1), row.text(2)}; });
}

std::vector<Note> Rows::notes(std::string_view kind, std::string_view id_prefix, int limit) {
  // Behind everything that begins so: no byte of UTF-8 is larger.
  const std::string end = std::string(id_prefix) + "\xff";
  auto statement = connection_.statement(
      "SELECT kind, id, text FROM notes WHERE kind = ? AND id >= ? AND id < ? ORDER BY id LIMIT ?");
  statement.bind(kind).bind(id_prefix).bind(end).bind(std::int64_t{limit});
  return all(std::move(statement), [](const Statement& row) { return Note{row.text(0), row.text(1), row.text(2)}; });
}

void SqliteTransaction::put_note(const Note& note) {
  connection_
      .statement("INSERT INTO notes (kind, id, text) VALUES (?, ?, ?) "
                 "ON CONFLICT (kind, id) DO UPDATE SET text = excluded.text")
      .bind(note.kind)
      .bind(note.id)
      .bind(note.text)
      .run();
  note_kinds_.insert(note.kind);
}

void SqliteTransaction::delete_note(std::string_view kind, std::string_view id) {
  connection_.statement("DELETE FROM notes WHERE kind = ? AND id = ?").bind(kind).bind(id).run();
  note_kinds_.emplace(kind);
}

}  // namespace agentrouter::store
