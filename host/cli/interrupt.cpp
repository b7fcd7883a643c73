#include "host/cli/interrupt.hpp"

#include <unistd.h>

#include <csignal>

#include "host/processes/signals.hpp"

namespace weft::host {
namespace {

std::atomic<bool> flag = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

void on_signal(int signal) {
  if (flag.exchange(true)) _exit(128 + signal);  // workers die with the host; the journal is whole at any moment
  constexpr char note[] = "\nstopping; once more leaves at once\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, note, sizeof(note) - 1);
}

}  // namespace

const std::atomic<bool>& interrupted() { return flag; }

void install_interrupt_handler() {
  struct sigaction action {};
  action.sa_handler = on_signal;  // without SA_RESTART: waiting calls return
  sigset_t unblocked;
  sigemptyset(&unblocked);
  for (const int signal : stop_signals) {
    sigaction(signal, &action, nullptr);
    sigaddset(&unblocked, signal);
  }
  pthread_sigmask(SIG_UNBLOCK, &unblocked, nullptr);
}

}  // namespace weft::host
