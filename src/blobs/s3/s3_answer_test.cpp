#include "blobs/s3/s3_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "blobs/s3/xml.h"

namespace agentrouter::blobs {

namespace {

using ::testing::HasSubstr;

std::string why(std::string_view xml, const XmlLimits& limits = {}) {
  const auto parsed = parse_xml(xml, limits);
  return parsed ? "it is read" : parsed.error().message;
}

TEST(S3Xml, ElementsTextAndTheFiveEntities) {
  const auto root = base::value_or_throw(
      parse_xml("<?xml version=\"1.0\"?>\n<a:Top xmlns:a=\"urn:x\"><One>1 "
                "&lt;&amp;&gt;&quot;&apos;</One><Two/><One>&#228;&#x20AC;&#x1F600;</One></a:Top>\n"));
  EXPECT_EQ(root.name, "Top");
  ASSERT_EQ(root.children.size(), 3u);
  EXPECT_EQ(root.text_of("One"), "1 <&>\"'");
  EXPECT_EQ(root.children[2].text, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_EQ(root.child("Three"), nullptr);
  EXPECT_EQ(root.text_of("Three"), "");
}

TEST(S3Xml, WhatIsNoDocumentOfThisKindIsRefused) {
  EXPECT_THAT(why(""), HasSubstr("no element"));
  EXPECT_THAT(why("<a>"), HasSubstr("does not end"));
  EXPECT_THAT(why("<a></b>"), HasSubstr("closed that is not open"));
  EXPECT_THAT(why("<a/><b/>"), HasSubstr("follows its root"));
  EXPECT_THAT(why("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>"), HasSubstr("no name"));
  EXPECT_THAT(why("<a>&x;</a>"), HasSubstr("entity is not known"));
  EXPECT_THAT(why("<a>&#0;</a>"), HasSubstr("names no character"));
  EXPECT_THAT(why("<a>&#xD800;</a>"), HasSubstr("names no character"));
  EXPECT_THAT(why("<a><!-- --></a>"), HasSubstr("no name"));
  EXPECT_THAT(why("<a b=c/>"), HasSubstr("no quoted value"));
  EXPECT_THAT(why("<a b/>"), HasSubstr("has no value"));
  EXPECT_THAT(why("<a b=\"<\"/>"), HasSubstr("attribute does not end"));
  EXPECT_THAT(why(std::string_view("<a>\x01</a>")), HasSubstr("control character"));
  EXPECT_THAT(why("<?xml version"), HasSubstr("declaration"));
}

TEST(S3Xml, EachLimitHolds) {
  EXPECT_THAT(why("<a>12345</a>", {.bytes = 8}), HasSubstr("longer than 8 bytes"));
  EXPECT_THAT(why("<a><b><c/></b></a>", {.depth = 2}), HasSubstr("too deeply"));
  EXPECT_EQ(why("<a><b><c/></b></a>", {.depth = 3}), "it is read");
  EXPECT_THAT(why("<a><b/><b/></a>", {.elements = 2}), HasSubstr("too many"));
}

TEST(S3Answer, AnErrorHasACode) {
  const auto error = base::value_or_throw(parse_s3_error(
      "<Error><Code>NoSuchKey</Code><Message>a &amp; b</Message><Region>eu-west-1</Region></Error>"));
  EXPECT_EQ(error.code, "NoSuchKey");
  EXPECT_EQ(error.message, "a & b");
  EXPECT_EQ(error.region, "eu-west-1");
  EXPECT_EQ(base::value_or_throw(parse_s3_error("<Error/>")).code, "UnknownError");
  EXPECT_FALSE(parse_s3_error("<html><body>502</body></html>"));
  EXPECT_EQ(
      base::value_or_throw(parse_s3_error("<Error><Message>" + std::string(5000, 'x') + "</Message></Error>"))
          .message.size(),
      1024u);
}

TEST(S3Answer, APageOfAListing) {
  const auto listing = base::value_or_throw(
      parse_listing("<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t&amp;</"
                    "NextContinuationToken><Contents><Key>a&amp;b</Key>"
                    "<LastModified>2009-10-12T17:50:30.000Z</LastModified><Size>434234</Size></Contents></"
                    "ListBucketResult>"));
  ASSERT_EQ(listing.objects.size(), 1u);
  EXPECT_EQ(listing.objects[0].key, "a&b");
  EXPECT_EQ(listing.objects[0].size, 434234);
  EXPECT_EQ(base::to_iso(listing.objects[0].changed), "2009-10-12T17:50:30.000Z");
  EXPECT_EQ(listing.next, "t&");
  for (const char* inner :
       {"<IsTruncated>true</IsTruncated>", "<IsTruncated>yes</IsTruncated>", "<Contents/>",
        "<Contents><Key>a</Key><Size>-1</Size><LastModified>2009-10-12T17:50:30Z</LastModified></Contents>",
        "<Contents><Key>a</Key><Size>1</Size><LastModified>2009-13-12T17:50:30Z</LastModified></Contents>",
        "<Contents><Key>a</Key><Size>1</Size><LastModified>yesterday</LastModified></Contents>"})
    EXPECT_FALSE(parse_listing("<ListBucketResult>" + std::string(inner) + "</ListBucketResult>")) << inner;
}

TEST(S3Answer, Uploads) {
  const auto uploads = base::value_or_throw(
      parse_uploads("<ListMultipartUploadsResult><Upload><Key>k</Key><UploadId>u/+=</"
                    "UploadId><Initiated>2010-11-10T20:48:33Z</Initiated></Upload>"
                    "<IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>u</"
                    "NextUploadIdMarker></ListMultipartUploadsResult>"));
  ASSERT_EQ(uploads.uploads.size(), 1u);
  EXPECT_EQ(uploads.uploads[0].id, "u/+=");
  EXPECT_EQ(uploads.next_key, "k");
  EXPECT_FALSE(parse_uploads(
      "<ListMultipartUploadsResult><Upload><Key>k</Key></Upload></ListMultipartUploadsResult>"));
  EXPECT_EQ(base::value_or_throw(parse_upload_id(
                "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")),
            "u");
  EXPECT_FALSE(parse_upload_id("<InitiateMultipartUploadResult/>"));
}

TEST(S3Answer, ACompletionMayBeAnErrorBehindSpaces) {
  EXPECT_FALSE(
      base::value_or_throw(parse_completion("\n \n<?xml version=\"1.0\"?><CompleteMultipartUploadResult/>")));
  EXPECT_EQ(base::value_or_throw(parse_completion(" <Error><Code>InternalError</Code></Error>"))->code,
            "InternalError");
  EXPECT_FALSE(parse_completion("<Other/>"));
  EXPECT_FALSE(parse_completion(""));
}

TEST(S3Answer, Dates) {
  EXPECT_EQ(base::to_iso(base::value_or_throw(parse_http_date("Fri, 24 May 2013 00:00:07 GMT"))),
            "2013-05-24T00:00:07.000Z");
  for (const char* text : {"", "Fri, 24 Foo 2013 00:00:00 GMT", "Fri, 24 May 2013 00:00:00 CET",
                           "Fri, 31 Jun 2013 00:00:00 GMT", "Fri, 24 May 2013 25:00:00 GMT"})
    EXPECT_FALSE(parse_http_date(text)) << text;
}

TEST(S3Answer, TextWithinAnElement) {
  EXPECT_EQ(xml_text("a<b>&\"c\""), "a&lt;b&gt;&amp;\"c\"");
}

}  // namespace

}  // namespace agentrouter::blobs
