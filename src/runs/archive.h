#pragma once
// The bytes of session_events and session_manifest of a run that is being closed. They depend on nothing but
// what begin_close left in the store, so making them again after a crash gives equal bytes. Written in
// pieces: memory does not grow with the run.

#include <functional>

#include "runs/close.h"

namespace agentrouter::runs {

// May throw; the writing then stops with the same exception.
using Sink = std::function<void(std::string_view)>;

// Every event of the run, the coming terminal one included, as its RunEvent on one line each: equal to what
// /events will say in every field.
void write_session_events(store::Reader& reader, const model::RunId& run, const Closing& closing,
                          const Sink& sink);

// {run, events, artifacts} as contract section 10 has it. `events` is what write_session_events made.
void write_session_manifest(store::Reader& reader, const model::RunId& run, const Closing& closing,
                            const ArchivedBlob& events, const Sink& sink);

// The record that finish_close will store for what was written.
[[nodiscard]] model::Artifact archive_artifact(const model::RunId& run, std::string_view kind,
                                               const Closing& closing, const ArchivedBlob& blob);

}  // namespace agentrouter::runs
