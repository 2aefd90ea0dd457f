#include "keeper/ports.h"

namespace agentrouter::keeper {
namespace {

class HeldBox final : public Sandbox {
 public:
  explicit HeldBox(sandbox::Box& box) : box_(box) {}
  [[nodiscard]] sandbox::LimitsMode limits() const override { return box_.limits(); }
  [[nodiscard]] unsigned landlock() const override { return box_.landlock(); }
  [[nodiscard]] int listener() const override { return box_.listener(); }
  void close_listener() override { box_.close_listener(); }
  [[nodiscard]] sandbox::Box::Outbound take_outbound() override { return box_.take_outbound(); }
  [[nodiscard]] std::vector<std::uint16_t> outbound_ports() const override { return box_.outbound_ports(); }
  [[nodiscard]] int control_fd() const override { return box_.control_fd(); }
  base::Result<std::optional<sandbox::Notice>> read_notice() override { return box_.read_notice(); }
  base::Result<pid_t> spawn(const sandbox::Spawn& request) override { return box_.spawn(request); }
  base::Result<pid_t> collect(const sandbox::Collect& request) override { return box_.collect(request); }
  base::Result<pid_t> restore(const sandbox::Restore& request) override { return box_.restore(request); }
  base::Result<void> freeze() override { return box_.freeze(); }
  base::Result<void> thaw() override { return box_.thaw(); }
  base::Result<void> kill_all() override { return box_.kill_all(); }
  base::Result<sandbox::DestroyProof> destroy() override { return box_.destroy(); }
  [[nodiscard]] sandbox::MemoryReport memory() const override { return box_.memory(); }

 private:
  sandbox::Box& box_;
};

}  // namespace

std::unique_ptr<Sandbox> hold(sandbox::Box& box) {
  return std::make_unique<HeldBox>(box);
}

}  // namespace agentrouter::keeper
