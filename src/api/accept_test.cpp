#include "api/accept.h"

#include <gtest/gtest.h>

namespace agentrouter::api {
namespace {

ErrorForm form_of(const char* accept) {
  return error_form({{"Accept", accept}});
}

TEST(Accept, TheMostSpecificRangeGivesTheQuality) {
  const Accept accept({{"Accept", "text/*;q=0.3, text/html;q=0.7, */*;q=0.05"}, {"accept", "image/png"}});
  EXPECT_EQ(accept.quality("text/html"), 700);
  EXPECT_EQ(accept.quality("text/plain"), 300);
  EXPECT_EQ(accept.quality("image/png"), 1000);
  EXPECT_EQ(accept.quality("audio/ogg"), 50);
  EXPECT_EQ(Accept({}).quality("text/html"), 1000);
  EXPECT_EQ(Accept({{"Accept", "text/html"}}).quality("audio/ogg"), 0);
}

TEST(Accept, WhatCannotBeReadCountsAsAbsent) {
  for (const char* broken :
       {"", ",", "text", "text/", "/html", "*/html", "text/html;q=2", "text/html;q=1.001", "text/html;q=.5",
        "text/html;q=a", "text/html;q=0.1234", "te xt/html", "a/b/c"}) {
    EXPECT_FALSE(Accept({{"Accept", broken}}).names("text/html")) << broken;
    EXPECT_EQ(Accept({{"Accept", broken}}).quality("audio/ogg"), 1000) << broken;
  }
}

TEST(Accept, NamesAreComparedWithoutCaseAndParametersDoNotMatter) {
  EXPECT_TRUE(Accept({{"Accept", "TEXT/Event-Stream ; charset=utf-8"}}).names("text/event-stream"));
  EXPECT_TRUE(Accept({{"Accept", "a/b;x=\",;\\\"\", text/event-stream;Q=0.001"}}).names("text/event-stream"));
  EXPECT_FALSE(Accept({{"Accept", "text/event-stream;q=0"}}).names("text/event-stream"));
  EXPECT_FALSE(Accept({{"Accept", "text/event-stream;q=0.000"}}).names("text/event-stream"));
  EXPECT_FALSE(Accept({{"Accept", "*/*"}}).names("text/event-stream"));
}

TEST(Accept, ProblemsGoToWhoNamesThemAndDoesNotLikeJsonMore) {
  for (const char* accept : {"application/problem+json", "application/json, application/problem+json",
                             "application/problem+json;q=0.5, application/json;q=0.5",
                             "application/problem+json;q=0.2, */*;q=0.1"}) {
    EXPECT_EQ(form_of(accept), ErrorForm::problem) << accept;
  }
  for (const char* accept :
       {"*/*", "application/*", "application/json", "application/json, application/problem+json;q=0.9",
        "application/problem+json;q=0", "application/problem+json;q=0.1, */*", "text/event-stream", "x"}) {
    EXPECT_EQ(form_of(accept), ErrorForm::envelope) << accept;
  }
  EXPECT_EQ(error_form({}), ErrorForm::envelope);
}

}  // namespace
}  // namespace agentrouter::api
