#include "base/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <array>

namespace agentrouter::base {

namespace {
constexpr int gzip_window = 15 + 16;
}

std::string gzip(std::string_view bytes) {
  z_stream stream{};
  AGENTROUTER_CHECK(deflateInit2(&stream, 6, Z_DEFLATED, gzip_window, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, static_cast<uLong>(bytes.size())), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  AGENTROUTER_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

struct Gunzip::State {
  z_stream stream{};
  bool between = false;  // at the end of a member
};

Gunzip::Gunzip() : state_(std::make_unique<State>()) {
  AGENTROUTER_CHECK(inflateInit2(&state_->stream, gzip_window) == Z_OK);
}

Gunzip::~Gunzip() {
  inflateEnd(&state_->stream);
}

bool Gunzip::is_whole() const {
  return state_->between;
}

Result<std::string> Gunzip::feed(std::string_view bytes) {
  auto& [stream, between] = *state_;
  std::string out;
  std::array<char, 65536> buffer;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  do {
    if (between && stream.avail_in == 0) break;
    if (between) inflateReset(&stream);
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = buffer.size();
    const int state = inflate(&stream, Z_NO_FLUSH);
    if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR)
      return fail(Code::corrupt, "gzip data is damaged");
    between = state == Z_STREAM_END;
    out.append(buffer.data(), buffer.size() - stream.avail_out);
  } while (stream.avail_in > 0 || stream.avail_out == 0);
  return out;
}

Result<std::string> gunzip(std::string_view bytes, std::size_t max_bytes) {
  constexpr std::size_t step = 4096;
  Gunzip pieces;
  std::string out;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(step, bytes.size()))) {
    auto piece = pieces.feed(bytes.substr(0, step));
    if (!piece) return piece;
    if (piece->size() > max_bytes - out.size())
      return fail(Code::exhausted, "gzip content is over " + std::to_string(max_bytes) + " bytes");
    out += *piece;
  }
  if (!pieces.is_whole()) return fail(Code::corrupt, "gzip data is damaged or cut");
  return out;
}

}  // namespace agentrouter::base
