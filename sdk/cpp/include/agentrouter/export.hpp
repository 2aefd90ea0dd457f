#pragma once
// What the shared library shows. Everything else in it is hidden.

#if defined(__GNUC__)
#define AGENTROUTER_API __attribute__((visibility("default")))
#else
#define AGENTROUTER_API
#endif
