#pragma once
// What the shared library shows (API) and what of it stays inside (LOCAL). Everything unmarked is hidden.

#if defined(__GNUC__)
#define AGENTROUTER_API __attribute__((visibility("default")))
#define AGENTROUTER_LOCAL __attribute__((visibility("hidden")))
#else
#define AGENTROUTER_API
#define AGENTROUTER_LOCAL
#endif
