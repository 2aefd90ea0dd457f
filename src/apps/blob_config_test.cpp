#include "apps/blob_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "testing/temp_dir.h"

namespace agentrouter::apps {
namespace {

using ::testing::HasSubstr;

const Environment blob_keys({{"AWS_ACCESS_KEY_ID", "AKID"},
                             {"AWS_SECRET_ACCESS_KEY", "the-secret-key"},
                             {"AWS_SESSION_TOKEN", "the-token"}});

base::Result<BlobConfig> settled(const std::map<std::string, std::string>& values,
                                 const Environment& environment = blob_keys) {
  BlobConfig config;
  for (const auto& [key, value] : values) {
    if (auto done = set_blob_value(config, "blobs." + key, value); !done) return tl::unexpected(done.error());
  }
  if (auto done = settle_blobs(config, environment); !done) return tl::unexpected(done.error());
  return config;
}

std::string refused(const std::map<std::string, std::string>& values,
                    const Environment& environment = blob_keys) {
  const auto config = settled(values, environment);
  return config ? "it is taken" : config.error().message;
}

TEST(BlobConfig, NothingIsInTheDataFolder) {
  const auto config = settled({});
  ASSERT_TRUE(config);
  EXPECT_FALSE(config->is_s3());
  EXPECT_THAT(refused({{"endpoint", "http://localhost:9000"}}), HasSubstr("without blobs.url"));
}

TEST(BlobConfig, AmazonsStoreOfARegion) {
  const auto config = base::value_or_throw(
      settled({{"url", "s3://team-artifacts/production/eu"}, {"region", "eu-central-1"}}));
  const auto& place = config.options.place;
  EXPECT_EQ(place.scheme + "://" + place.host, "https://s3.eu-central-1.amazonaws.com");
  EXPECT_EQ(place.bucket, "team-artifacts");
  EXPECT_EQ(place.prefix, "production/eu/");
  EXPECT_FALSE(place.path_style);
  ASSERT_TRUE(config.keys);
  EXPECT_EQ(config.keys->session_token, "the-token");
  const auto by_environment =
      base::value_or_throw(settled({{"url", "s3://b12"}}, Environment({{"AWS_ACCESS_KEY_ID", "a"},
                                                                       {"AWS_SECRET_ACCESS_KEY", "b"},
                                                                       {"AWS_REGION", "us-west-2"}})));
  EXPECT_EQ(by_environment.options.place.region, "us-west-2");
  const auto all_of_it = base::value_or_throw(settled(
      {{"url", "s3://file"}}, Environment({{"AWS_ACCESS_KEY_ID", "a"},
                                           {"AWS_SECRET_ACCESS_KEY", "b"},
                                           {"AGENTROUTER_BLOBS_URL", "s3://environment/x"},
                                           {"AGENTROUTER_BLOBS_ENDPOINT", "http://localhost:9000"}})));
  EXPECT_EQ(all_of_it.options.place.bucket, "environment");
  EXPECT_EQ(all_of_it.options.place.host, "localhost:9000");
}

TEST(BlobConfig, AnotherStore) {
  const auto config =
      base::value_or_throw(settled({{"url", "s3://artifacts"}, {"endpoint", "http://LocalHost:9000"}}));
  EXPECT_EQ(config.options.place.scheme, "http");
  EXPECT_EQ(config.options.place.host, "localhost:9000");
  EXPECT_TRUE(config.options.place.path_style);
  EXPECT_EQ(base::value_or_throw(settled({{"url", "s3://artifacts"},
                                          {"endpoint", "https://store.example:443"},
                                          {"path_style", "false"}}))
                .options.place.host,
            "store.example");
}

TEST(BlobConfig, EveryNumberHasItsBounds) {
  const auto config = base::value_or_throw(settled({{"url", "s3://artifacts"},
                                                    {"presign_seconds", "60"},
                                                    {"cache_bytes", "0"},
                                                    {"part_bytes", "5242880"},
                                                    {"connect_timeout_ms", "100"},
                                                    {"idle_timeout_seconds", "3"},
                                                    {"request_timeout_seconds", "4"},
                                                    {"retry_seconds", "0"}}));
  EXPECT_EQ(config.options.presign.count(), 60);
  EXPECT_EQ(config.options.cache_bytes, 0);
  EXPECT_EQ(config.options.limits.connect.count(), 100);
  EXPECT_EQ(config.options.limits.idle.count(), 3);
  EXPECT_EQ(config.options.limits.total.count(), 4);
  EXPECT_EQ(config.options.retries.within.count(), 0);
  EXPECT_THAT(refused({{"part_bytes", "5242879"}}), HasSubstr("want a whole number from 5242880 to"));
  EXPECT_THAT(refused({{"presign_seconds", "604801"}}), HasSubstr("from 0 to 604800"));
  EXPECT_THAT(refused({{"cache_bytes", "1 GiB"}}), HasSubstr("blobs.cache_bytes is \"1 GiB\""));
}

TEST(BlobConfig, WhatIsWrongIsNamed) {
  EXPECT_THAT(refused({{"url", "https://bucket.s3.amazonaws.com"}}), HasSubstr("want \"s3://BUCKET\""));
  EXPECT_THAT(refused({{"url", "s3://Bucket"}}), HasSubstr("the bucket in lower case"));
  EXPECT_THAT(refused({{"url", "s3://bucket/../x"}}), HasSubstr("do not begin with a dot"));
  EXPECT_THAT(refused({{"url", "s3://bucket"}, {"endpoint", "localhost:9000"}}),
              HasSubstr("blobs.endpoint is"));
  EXPECT_THAT(refused({{"url", "s3://bucket"}, {"endpoint", "http://localhost:9000/path"}}),
              HasSubstr("blobs.endpoint is"));
  EXPECT_THAT(refused({{"url", "s3://bucket"}, {"endpoint", "http://[::1]:9000"}, {"path_style", "false"}}),
              HasSubstr("blobs.path_style"));
  EXPECT_THAT(refused({{"region", "Frankfurt"}}), HasSubstr("the name of a region"));
  EXPECT_THAT(refused({{"sse", "AES-256"}}), HasSubstr("want AES256 or aws:kms"));
  EXPECT_THAT(refused({{"url", "s3://bucket"}, {"sse", "AES256"}, {"sse_kms_key_id", "k"}}),
              HasSubstr("is not \"aws:kms\""));
  EXPECT_THAT(refused({{"path_style", "yes"}}), HasSubstr("want true or false"));
  EXPECT_THAT(refused({{"bucket", "b"}}), HasSubstr("unknown key \"blobs.bucket\""));
  EXPECT_THAT(refused({{"url", "s3://bucket"}}, Environment(std::map<std::string, std::string>{})),
              HasSubstr("there are no keys for it"));
  EXPECT_THAT(refused({{"url", "s3://bucket"}, {"access_key_file", "/nowhere"}}),
              HasSubstr("belong together"));
  EXPECT_THAT(
      refused({{"url", "s3://bucket"}, {"access_key_file", "/nowhere"}, {"secret_key_file", "/nowhere"}}),
      HasSubstr("/nowhere"));
}

TEST(BlobConfig, KeysOfFilesWinAndNoKeyIsPrinted) {
  testing::TempDir folder;
  std::ofstream(folder / "access") << "AKIDFILE\n";
  std::ofstream(folder / "secret") << "secret-of-the-file\n";
  const auto config = base::value_or_throw(settled({{"url", "s3://artifacts"},
                                                    {"access_key_file", (folder / "access").string()},
                                                    {"secret_key_file", (folder / "secret").string()}}));
  EXPECT_FALSE(config.keys);
  EXPECT_EQ(config.first.secret_key, "secret-of-the-file");
  EXPECT_THAT(print_blobs(config), HasSubstr("secret_key_file = '" + (folder / "secret").string() + "'"));
  EXPECT_THAT(print_blobs(config), ::testing::Not(HasSubstr("secret-of-the-file")));
  EXPECT_THAT(print_blobs(base::value_or_throw(settled({{"url", "s3://artifacts"}}))),
              HasSubstr("# keys of the environment: [REDACTED]"));
}

TEST(BlobConfig, AFolderRemembersWhereItsBlobsAre) {
  testing::TempDir folder;
  EXPECT_EQ(blobs_elsewhere(folder.path()), "");
  // Nobody listens there: the store is away, which is no reason not to begin.
  auto config = base::value_or_throw(
      settled({{"url", "s3://artifacts"}, {"endpoint", "http://127.0.0.1:1"}, {"retry_seconds", "0"}}));
  EXPECT_TRUE(open_blobs(config, folder.path()));
  EXPECT_EQ(blobs_elsewhere(folder.path()), "s3://artifacts");
  const auto none = open_blobs({}, folder.path());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().reason, "blobs_elsewhere");
  EXPECT_THAT(none.error().message, HasSubstr("are in s3://artifacts"));
  std::filesystem::remove(folder / "blobs_at");
  base::value_or_throw(open_blobs({}, folder.path()))->put("runs/r/a", "x");
  const auto here = open_blobs(config, folder.path());
  ASSERT_FALSE(here);
  EXPECT_EQ(here.error().reason, "blobs_here");
  ASSERT_TRUE(note_blobs_elsewhere(config, folder.path()));
  EXPECT_TRUE(open_blobs(config, folder.path()));
}

}  // namespace
}  // namespace agentrouter::apps
