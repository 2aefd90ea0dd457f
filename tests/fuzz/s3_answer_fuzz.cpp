// covers: src/blobs/s3/xml.cpp
// covers: src/blobs/s3/s3_answer.cpp
// What a store answers, from arbitrary bytes: it is read or refused, within its bounds; text that is written
// into a document is read back from it.
#include <string>

#include "blobs/s3/s3_answer.h"
#include "blobs/s3/xml.h"
#include "bytes_file.h"
#include "require.h"

using namespace agentrouter;

namespace {

void judge(const blobs::XmlElement& element, int depth) {
  require(!element.name.empty() && element.name.find(':') == std::string::npos && depth < 8);
  for (const auto& child : element.children) judge(child, depth + 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = bytes_of(data, size);
  if (const auto root = blobs::parse_xml(text)) judge(*root, 0);
  if (const auto error = blobs::parse_s3_error(text))
    require(!error->code.empty() && error->message.size() <= 1024);
  if (const auto listing = blobs::parse_listing(text)) {
    for (const auto& object : listing->objects) require(!object.key.empty() && object.size >= 0);
  }
  if (const auto uploads = blobs::parse_uploads(text)) {
    for (const auto& upload : uploads->uploads) require(!upload.key.empty() && !upload.id.empty());
  }
  (void)blobs::parse_upload_id(text);
  (void)blobs::parse_completion(text);
  (void)blobs::parse_http_date(text);
  bool plain = true;
  for (const char c : text) plain = plain && static_cast<unsigned char>(c) >= 0x20;
  if (plain) {
    const auto back = blobs::parse_xml("<a>" + blobs::xml_text(text) + "</a>");
    require(back && back->text == text);
  }
  return 0;
}
