#include "egress/lfs_client.h"

#include "egress/world_test.h"

namespace agentrouter::egress {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string oid_a(64, 'a');
const std::string oid_b(64, 'b');

std::string batch_answer(const std::string& objects) {
  return R"({"transfer":"basic","objects":[)" + objects + "]}";
}
std::string offer(const std::string& oid, const std::string& href, const std::string& header = "{}") {
  return R"({"oid":")" + oid + R"(","size":4,"actions":{"download":{"href":")" + href + R"(","header":)" +
         header + "}}}";
}

TEST(LfsBatch, AsksTheRepositorysOwnServer) {
  const auto target = [](const char* url) { return lfs_batch_url(net::parse_url(url).value()).target(); };
  EXPECT_EQ(target("https://h.test/team/a.git"), "/team/a.git/info/lfs/objects/batch");
  EXPECT_EQ(target("https://h.test/team/a/"), "/team/a.git/info/lfs/objects/batch");
  const auto body = base::parse_json(lfs_batch_body({{oid_a, 4}}))->get_object();
  EXPECT_EQ(base::get_string(body, "operation"), "download");
  EXPECT_EQ(body.at("objects").as_array().at(0).at("oid").as_string(), oid_a);
}

TEST(LfsBatch, GivesASourceForEachObjectInOrder) {
  const auto sources = read_lfs_batch(
      batch_answer(offer(oid_b, "https://o.test/b") + "," +
                   offer(oid_a, "https://o.test/a",
                         R"({"Authorization":"RemoteAuth x","Host":"evil","Content-Length":"9"})")),
      {{oid_a, 4}, {oid_b, 4}});
  ASSERT_TRUE(sources) << sources.error().message;
  ASSERT_EQ(sources->size(), 2u);
  EXPECT_EQ((*sources)[0].url.path, "/a");
  EXPECT_EQ((*sources)[0].headers.get("authorization"), "RemoteAuth x");
  EXPECT_EQ((*sources)[0].headers.count("host"), 0u);
  EXPECT_EQ((*sources)[0].headers.count("content-length"), 0u);
  EXPECT_EQ((*sources)[1].url.path, "/b");
}

TEST(LfsBatch, AnswersThatCannotBeUsedAreErrors) {
  for (const auto& text :
       {std::string(), std::string("[]"), std::string("{}"),
        std::string(R"({"objects":[],"transfer":"ssh"})"), batch_answer(""),
        batch_answer(R"({"oid":")" + oid_a + "\"}"), batch_answer(offer(oid_a, "ftp://h.test/")),
        batch_answer(offer(oid_a, "https://u:p@h.test/")),
        batch_answer(offer(oid_a, "https://h.test/", R"({"X":"a\r\nb"})")),
        batch_answer(offer(oid_a, "https://h.test/", R"({"X Y":"a"})")),
        batch_answer(offer(oid_a, "https://h.test/", R"({"X":1})")),
        batch_answer(offer(oid_b, "https://h.test/"))})
    EXPECT_EQ(read_lfs_batch(text, {{oid_a, 4}}).error().code, base::Code::corrupt) << text;
  const auto missing = read_lfs_batch(
      batch_answer(R"({"oid":")" + oid_a + R"(","error":{"code":404,"message":"gone"}})"), {{oid_a, 4}});
  EXPECT_EQ(missing.error().code, base::Code::not_found);
  EXPECT_THAT(missing.error().message, HasSubstr("gone"));
}

class LfsClientTest : public EgressTest {
 protected:
  LfsClientTest() {
    lfs.repository =
        net::parse_url("http://127.0.0.1:" + std::to_string(provider_port) + "/team/a.git").value();
    lfs.credential = &secret;
  }
  std::string here(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(provider_port) + path;
  }
  void answer_with(int status, std::string body, std::string location = "") {
    provider.script = [status, body, location](Provider&, net::Exchange& exchange) {
      net::Response response;
      response.status = status;
      if (!location.empty()) response.headers.add("location", location);
      response.body = body;
      return exchange.respond(std::move(response));
    };
  }
  Task<void> ask_for(std::vector<LfsObject> objects) {
    LfsClient client(lfs);
    batch = co_await client.batch(std::move(objects));
  }
  Task<Result<void>> keep(std::string_view piece) {
    got += piece;
    co_return stop ? Result<void>(base::fail(base::Code::unavailable, "stopped")) : Result<void>();
  }
  Task<void> fetch(LfsSource source) {
    LfsClient client(lfs);
    const LfsClient::Take take = [this](std::string_view piece) { return keep(piece); };
    downloaded = co_await client.download(source, take);
  }
  LfsSource source(const std::string& url) const { return {{oid_a, 4}, net::parse_url(url).value(), {}}; }

  LfsConfig lfs;
  Secret secret = Secret::create("dTpw").value();
  Result<std::vector<LfsSource>> batch;
  Result<void> downloaded;
  std::string got;
  bool stop = false;
};

TEST_F(LfsClientTest, TheBatchRequestHasTheCredential) {
  answer_with(200, batch_answer(offer(oid_a, "https://o.test/a")));
  run(ask_for({{oid_a, 4}}));
  ASSERT_TRUE(batch) << batch.error().message;
  ASSERT_EQ(provider.requests.size(), 1u);
  const auto& seen = provider.requests[0].request;
  EXPECT_EQ(seen.method, "POST");
  EXPECT_EQ(seen.target, "/team/a.git/info/lfs/objects/batch");
  EXPECT_EQ(seen.headers.get("authorization"), "Basic dTpw");
  EXPECT_EQ(seen.headers.get("content-type"), "application/vnd.git-lfs+json");
}

TEST_F(LfsClientTest, WhoIsNotLetInIsToldSo) {
  answer_with(401, "{}");
  run(ask_for({{oid_a, 4}}));
  EXPECT_EQ(batch.error().reason, "unauthorized");
}

TEST_F(LfsClientTest, ARedirectIsNotFollowed) {
  answer_with(302, "", "http://127.0.0.1:1/");
  run(ask_for({{oid_a, 4}}));
  EXPECT_EQ(batch.error().code, base::Code::unavailable);
}

TEST_F(LfsClientTest, AnObjectOfTheOwnServerComesWithTheCredentialUnlessItHasOne) {
  answer_with(200, "abcd");
  run(fetch(source(here("/objects/a?x=1"))));
  ASSERT_TRUE(downloaded) << downloaded.error().message;
  EXPECT_EQ(got, "abcd");
  EXPECT_EQ(provider.requests.at(0).request.target, "/objects/a?x=1");
  EXPECT_EQ(provider.requests.at(0).request.headers.get("authorization"), "Basic dTpw");
}

TEST_F(LfsClientTest, ASourcesOwnAuthorizationIsTheOnlyOne) {
  answer_with(200, "abcd");
  auto from = source(here("/objects/a"));
  from.headers.add("Authorization", "RemoteAuth x");
  run(fetch(std::move(from)));
  ASSERT_TRUE(downloaded);
  EXPECT_EQ(provider.requests.at(0).request.headers.get("authorization"), "RemoteAuth x");
  EXPECT_EQ(provider.requests.at(0).request.headers.count("authorization"), 1u);
}

TEST_F(LfsClientTest, AnotherSizeIsRefused) {
  answer_with(200, "abc");
  run(fetch(source(here("/objects/a"))));
  EXPECT_EQ(downloaded.error().code, base::Code::corrupt);
}

TEST_F(LfsClientTest, MoreThanTheSizeIsRefusedBeforeItIsRead) {
  answer_with(200, std::string(100'000, 'x'));
  run(fetch(source(here("/objects/a"))));
  EXPECT_FALSE(downloaded);
  EXPECT_EQ(got, "");
}

TEST_F(LfsClientTest, WhoTakesTheBytesMayStop) {
  answer_with(200, "abcd");
  stop = true;
  run(fetch(source(here("/objects/a"))));
  EXPECT_THAT(downloaded.error().message, HasSubstr("stopped"));
}

TEST_F(LfsClientTest, AFailedDownloadSaysItsStatus) {
  answer_with(404, "none");
  run(fetch(source(here("/objects/a"))));
  EXPECT_THAT(downloaded.error().message, HasSubstr("404"));
  EXPECT_EQ(got, "");
}

TEST_F(LfsClientTest, ObjectsElsewhereComeOverHttpsFromPublicAddressesOnly) {
  const auto tls = net::TlsContext::create({}).value();
  lfs.tls = &tls;
  run(fetch(source("http://127.0.0.2:" + std::to_string(provider_port) + "/a")));
  EXPECT_EQ(downloaded.error().code, base::Code::denied);
}

TEST_F(LfsClientTest, APrivateAddressElsewhereIsRefused) {
  const auto tls = net::TlsContext::create({}).value();
  lfs.tls = &tls;
  run(fetch(source("https://127.0.0.1:" + std::to_string(provider_port) + "/a")));
  EXPECT_EQ(downloaded.error().reason, "address_denied");
}

TEST_F(LfsClientTest, HostsThatAreNotListedAreRefusedWhereSomeAre) {
  const auto tls = net::TlsContext::create({}).value();
  lfs.tls = &tls;
  lfs.https_hosts = {"h.test"};
  run(fetch(source("https://o.test/a")));
  EXPECT_THAT(downloaded.error().message, HasSubstr("not listed"));
  EXPECT_TRUE(provider.requests.empty());
}

}  // namespace
}  // namespace agentrouter::egress
