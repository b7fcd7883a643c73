#include "host/cli/interrupt.hpp"

#include <unistd.h>

#include <csignal>

#include "host/processes/signals.hpp"

namespace weft::host {
namespace {

std::atomic<bool> flag = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

// Before any plugin: what a shell, or nohup, told this program not to heed.
const std::array<bool, stop_signals.size()> ignored_at_start = [] {
  std::array<bool, stop_signals.size()> ignored{};
  for (std::size_t i = 0; i < stop_signals.size(); ++i) {
    struct sigaction action {};
    sigaction(stop_signals[i], nullptr, &action);
    ignored[i] = action.sa_handler == SIG_IGN;
  }
  return ignored;
}();

void on_signal(int signal) {
  if (flag.exchange(true)) _exit(128 + signal);  // workers die with the host; the journal is whole at any moment
  constexpr char note[] = "\nstopping; once more leaves at once\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, note, sizeof(note) - 1);
}

}  // namespace

const std::atomic<bool>& interrupted() { return flag; }

void install_interrupt_handler() {
  sigset_t unblocked;
  sigemptyset(&unblocked);
  for (std::size_t i = 0; i < stop_signals.size(); ++i) {
    struct sigaction action {};
    action.sa_handler = ignored_at_start[i] ? SIG_IGN : on_signal;  // without SA_RESTART: waiting calls return
    sigaction(stop_signals[i], &action, nullptr);
    sigaddset(&unblocked, stop_signals[i]);
  }
  pthread_sigmask(SIG_UNBLOCK, &unblocked, nullptr);
}

}  // namespace weft::host
