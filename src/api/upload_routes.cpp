// The route that takes files to work on.

#include "api/call.h"

namespace agentrouter::api {

namespace {

// The next piece. Errors: those of read_some(); timeout when the pace is lost.
base::Task<base::Result<std::string>> read_in_pace(net::Exchange& exchange, base::Pace& pace) {
  const auto began = base::SteadyClock::now();
  auto piece = co_await exchange.read_some();
  if (!piece || piece->empty()) co_return piece;
  pace.waited(base::SteadyClock::now() - began);
  if (pace.is_lost()) co_return base::fail(base::Code::timeout, "The upload comes too slowly");
  pace.moved(piece->size());
  co_return piece;
}

base::Error upload_fault(const base::Error& error, std::uint64_t most) {
  if (error.code != base::Code::exhausted) return reading_fault(error);
  return {
      base::Code::invalid,
      "The upload is larger than " + std::to_string(most) + " bytes: leave out what an agent does not need",
      "archive_limit", base::to_text(json::object{{"limit", "archive_bytes"}, {"most", most}})};
}

struct UploadPlace {
  std::string workspace;
  std::string id;
};

store::Upload record_of(const ReceivedUpload& received, UploadPlace place, base::Time now,
                        std::chrono::milliseconds keep) {
  return {.id = std::move(place.id),
          .sha256 = received.sha256,
          .size_bytes = static_cast<std::int64_t>(received.bytes),
          .tree = received.tree,
          .files = static_cast<std::int64_t>(received.files),
          .created_at = now,
          .expires_at = now + keep,
          .workspace_id = std::move(place.workspace)};
}

std::string upload_wire(const store::Upload& upload) {
  return base::to_text(
      json::object{{"upload", json::object{{"id", upload.id},
                                           {"bytes", upload.size_bytes},
                                           {"sha256", upload.sha256},
                                           {"files", upload.files},
                                           {"expiresAt", base::to_iso(upload.expires_at)}}}});
}

}  // namespace

base::Task<void> Api::upload(Call& call) {
  if (options_.uploads == nullptr)
    base::throw_failure(base::Code::unavailable, "This server takes no uploads", "unavailable");
  const auto place = uploads_.take(call.workspace);
  if (!place)
    base::throw_failure(base::Code::unavailable, "Too many uploads at the same time", "unavailable");
  auto& desk = *options_.uploads;
  auto received = co_await receive(call, desk);
  if (!received) throw base::Failure(received.error());
  co_await make_room(desk, *received);
  const auto record = record_of(*received, {call.workspace, "upload_" + base::new_uuid(needs_.entropy)},
                                needs_.clock.now(), desk.keep());
  co_await write(call, [&record](store::Transaction& tx) { tx.put_upload(record); });
  co_await call.respond_json(201, upload_wire(record));
}

base::Task<base::Result<ReceivedUpload>> Api::receive(Call& call, UploadDesk& desk) {
  call.exchange.limit_body(desk.max_bytes());
  auto incoming = co_await needs_.pool.run([&desk, &call] { return desk.begin(call.workspace); });
  if (!incoming) co_return tl::unexpected(incoming.error());
  auto& archive = **incoming;
  base::Pace pace(options_.upload_pace);
  for (;;) {
    const auto piece = co_await read_in_pace(call.exchange, pace);
    if (!piece) co_return tl::unexpected(upload_fault(piece.error(), desk.max_bytes()));
    if (piece->empty()) break;
    const auto written = co_await needs_.pool.run([&archive, &piece] { return archive.write(*piece); });
    if (!written) co_return tl::unexpected(written.error());
  }
  co_await check_again(call);  // the bytes may have been long on their way
  auto received = co_await upload_pool_.run([&archive] { return archive.finish(); });
  if (!received) co_return received;
  const auto shared = co_await desk.share(received->tree, archive);
  if (!shared) co_return tl::unexpected(shared.error());
  co_return received;
}

// A tree for which there is no room goes again.
base::Task<void> Api::make_room(UploadDesk& desk, ReceivedUpload& received) {
  const auto in_use = co_await needs_.store.read([](store::Reader& reader) { return reader.trees_in_use(); });
  if (co_await upload_pool_.run([&desk, &in_use] { return desk.trim(in_use); })) co_return;
  received.hold.reset();
  (void)co_await upload_pool_.run([&desk, &in_use] { return desk.trim(in_use); });
  base::throw_failure(base::Code::exhausted,
                      "Base trees that are in use fill their space ([trees] max_bytes): try again when "
                      "conversations have ended",
                      "storage_full");
}

}  // namespace agentrouter::api
