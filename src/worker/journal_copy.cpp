#include "worker/journal_copy.h"

#include "base/utf8.h"
#include "keeper/spending_plan.h"
#include "model/defaults.h"

namespace agentrouter::worker {
namespace {

void cut_nested(json::value& value, std::size_t string_bytes, std::size_t items) {
  if (json::string* text = value.if_string()) {
    *text = base::cut_utf8(std::string_view(text->data(), text->size()), string_bytes);
  } else if (json::array* array = value.if_array()) {
    if (array->size() > items) array->resize(items);
    for (auto& item : *array) cut_nested(item, string_bytes, items);
  } else if (json::object* object = value.if_object()) {
    for (auto& field : *object) cut_nested(field.value(), string_bytes, items);
  }
}

json::object cut_fields(const json::object& payload, std::size_t string_bytes, std::size_t items) {
  json::object cut;
  for (const auto& field : payload) {
    json::value value = field.value();
    const bool was_cut = value.is_string() && value.get_string().size() > string_bytes;
    cut_nested(value, string_bytes, items);
    cut.emplace(field.key(), std::move(value));
    if (was_cut) cut.emplace(std::string(field.key()) + "Truncated", true);
  }
  return cut;
}

std::string suffix_of(const CopySource& source, std::int64_t n) {
  return std::to_string(source.attempt_number) + "-" + std::to_string(n) + ".json";
}

void move_payload(model::EventDraft& draft, const CopySource& source, std::int64_t n,
                  runs::JournalBatch& batch, blobs::BlobStore& blobs) {
  model::Artifact artifact = model::named_artifact(source.run, "payload_overflow", suffix_of(source, n));
  const blobs::BlobInfo stored = blobs.put(artifact.r2_key, draft.payload);
  artifact.size_bytes = stored.size;
  artifact.sha256 = stored.sha256;
  artifact.metadata = base::to_text(json::object{{"eventType", draft.type}});
  artifact.created_at = draft.created_at;
  const auto payload = base::value_or_throw(
      base::parse_json(draft.payload, {.max_depth = 128, .max_bytes = keeper::journal_record_bytes}));
  draft.payload = base::to_text(preview_of(payload.get_object(), model::defaults::event_payload_bytes));
  draft.truncated = true;
  draft.artifact_ref = artifact.ref();
  batch.artifacts.push_back(std::move(artifact));
}

model::EventDraft draft_of(const json::object& data) {
  return base::value_or_throw(model::EventDraft::from_json_text(base::to_text(data)));
}

runs::Question question_of(const json::object& data) {
  const auto text = [&](std::string_view key) {
    return std::string(base::get_string(data, key).value_or(""));
  };
  return {.action_id = model::ActionId(text("actionId")),
          .action_digest = text("actionDigest"),
          .args_digest = text("argsDigest"),
          .request_id = text("requestId"),
          .requested_event_id = text("requestedEventId")};
}

runs::Spent spent_of(const json::object& data) {
  const auto* used = base::get_object(data, "used");
  return {.amount = keeper::amount_of(&data).value_or(policy::Amount{}),
          .used = used != nullptr ? base::to_text(*used) : std::string()};
}

runs::Answer answer_of(const json::object& data, runs::Answer::Kind kind) {
  return {.kind = kind,
          .action_id = model::ActionId(std::string(base::get_string(data, "actionId").value_or(""))),
          .reason = std::string(base::get_string(data, "reason").value_or(""))};
}

}  // namespace

json::object preview_of(const json::object& payload, std::size_t bytes) {
  std::size_t string_bytes = model::defaults::event_field_bytes;
  std::size_t items = 256;
  for (; string_bytes >= 32; string_bytes /= 4, items /= 4) {
    json::object cut = cut_fields(payload, string_bytes, std::max<std::size_t>(items, 1));
    if (base::to_text(cut).size() <= bytes) return cut;
  }
  return {{"truncated", true}, {"truncationReason", "the payload is over the limit"}};
}

JournalPiece copy_journal(const CopySource& source, std::uint64_t from, std::uint64_t to,
                          blobs::BlobStore& blobs) {
  auto slice = base::value_or_throw(keeper::read_journal(source.journal, from, to));
  JournalPiece piece;
  piece.batch.from_offset = piece.batch.to_offset = static_cast<std::int64_t>(from);
  for (const auto& record : slice.records) {
    if (record.kind == "exit") {
      piece.exit = base::value_or_throw(parse_exit(record.data));
      return piece;
    }
    if (record.kind == "event") {
      model::EventDraft draft = draft_of(record.data);
      if (draft.payload.size() > model::defaults::event_payload_bytes) {
        move_payload(draft, source, record.n, piece.batch, blobs);
      }
      piece.batch.events.push_back(std::move(draft));
    } else if (record.kind == "question") {
      piece.batch.questions.push_back(question_of(record.data));
    } else if (record.kind == "spent") {
      piece.batch.spendings.push_back(spent_of(record.data));
    } else if (record.kind == "released") {
      piece.batch.answers.push_back(answer_of(record.data, runs::Answer::Kind::released));
    } else if (record.kind == "refused") {
      piece.batch.answers.push_back(answer_of(record.data, runs::Answer::Kind::refused));
    }
    piece.batch.to_offset = static_cast<std::int64_t>(record.end);
  }
  piece.more = slice.more;
  return piece;
}

JournalFacts read_facts(int journal) {
  JournalFacts facts;
  std::uint64_t from = 0;
  for (bool more = true; more;) {
    const auto slice = keeper::read_journal(journal, from, UINT64_MAX);
    if (!slice) break;
    for (const auto& record : slice->records) {
      if (record.kind == "forwarded" || record.kind == "released") facts.safe_to_repeat = false;
    }
    more = slice->more && slice->end > from;
    from = slice->end;
  }
  return facts;
}

}  // namespace agentrouter::worker
