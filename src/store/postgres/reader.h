#pragma once
// The read half of the port over one session.

#include "store/postgres/tables.h"

namespace agentrouter::store::postgres {

// Sees what the transaction sees that is open on the session: one consistent state after begin(Access::read).
class PgReader final : public Reading<Reader> {
 public:
  explicit PgReader(Session& session) : Reading(session) {}
};

}  // namespace agentrouter::store::postgres
