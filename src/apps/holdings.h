#pragma once
// What outlives the rooms of a server: it goes to the next ones of this process when the configuration is read
// again, or to another process.

#include <memory>
#include <vector>

#include "apps/inherited_sockets.h"
#include "store/sqlite/folder_lock.h"

namespace agentrouter::apps {

struct Holdings {
  std::shared_ptr<store::FolderLock> lock;
  std::vector<ListeningSocket> sockets;
  std::vector<ListeningSocket> retiring;  // listening sockets of which only who waits already is answered
  std::vector<base::Fd> connections;      // of clients, between two requests
};

}  // namespace agentrouter::apps
