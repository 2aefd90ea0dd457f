#include "base/gzip.h"

#include <zlib.h>

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

Result<std::string> gunzip(std::string_view bytes, std::size_t max_bytes) {
  z_stream stream{};
  AGENTROUTER_CHECK(inflateInit2(&stream, gzip_window) == Z_OK);
  std::string out;
  std::array<char, 65536> buffer;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  int state = Z_OK;
  while (stream.avail_in > 0 || state == Z_OK) {
    if (state == Z_STREAM_END && inflateReset(&stream) != Z_OK) break;
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = buffer.size();
    state = inflate(&stream, Z_NO_FLUSH);
    if (state != Z_OK && state != Z_STREAM_END) break;
    const auto got = buffer.size() - stream.avail_out;
    if (out.size() + got > max_bytes) {
      inflateEnd(&stream);
      return fail(Code::exhausted, "gzip content is over " + std::to_string(max_bytes) + " bytes");
    }
    out.append(buffer.data(), got);
    if (state == Z_STREAM_END && stream.avail_in == 0) break;
  }
  inflateEnd(&stream);
  if (state != Z_STREAM_END) return fail(Code::corrupt, "gzip data is damaged or cut");
  return out;
}

}  // namespace agentrouter::base
