#pragma once
// The scripts of the first step of the schema that make tables.

namespace agentrouter::store::postgres::step_1 {

extern const char* const runs;     // with their texts, tags, words and events
extern const char* const records;  // everything else but attempts

}  // namespace agentrouter::store::postgres::step_1
