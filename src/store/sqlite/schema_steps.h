#pragma once
// The scripts of the steps of the schema, in the order in which they are taken. A step, once released, never
// changes.

namespace agentrouter::store::schema_step {

extern const char* const first;
extern const char* const second;
extern const char* const third;
extern const char* const fourth;
extern const char* const fifth;
extern const char* const sixth;
extern const char* const seventh;
extern const char* const eighth;
extern const char* const ninth;
extern const char* const tenth;
extern const char* const sealed_keys;
extern const char* const lanes_and_notes;

}  // namespace agentrouter::store::schema_step
