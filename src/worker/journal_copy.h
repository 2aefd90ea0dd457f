#pragma once
// A piece of an attempt's journal as the store takes it: events, questions and answers. A payload that is
// larger than an event may hold becomes an artifact, and the event keeps a preview.

#include "blobs/blob_store.h"
#include "keeper/journal.h"
#include "runs/journal_commit.h"
#include "worker/exit_record.h"

namespace agentrouter::worker {

struct JournalPiece {
  runs::JournalBatch batch;
  // The attempt's end. It is behind batch.to_offset, so that it is read again after a crash.
  std::optional<ExitRecord> exit;
  bool more = false;
};

struct CopySource {
  int journal = -1;
  model::RunId run;
  int attempt_number = 1;
};

// Reads the journal from `from` up to `to` or some of it. Overflowing payloads are in `blobs` when it
// returns. Blocks. Throws Failure (corrupt: the store is ahead of the disk, or a record makes no sense; those
// of blobs).
[[nodiscard]] JournalPiece copy_journal(const CopySource& source, std::uint64_t from, std::uint64_t to,
                                        blobs::BlobStore& blobs);

// What must be known of an attempt that ended without an exit.
struct JournalFacts {
  bool safe_to_repeat = true;  // no provider request was forwarded and no action released
};
// Reads the whole journal. Blocks.
[[nodiscard]] JournalFacts read_facts(int journal);

// At most `bytes` of compact JSON that still shows what `payload` is about: long strings are cut first, each
// with "<key>Truncated": true beside it at the top level; then long arrays.
[[nodiscard]] json::object preview_of(const json::object& payload, std::size_t bytes);

}  // namespace agentrouter::worker
