// Ctrl-C belongs to the host: a plugin that blocks or redirects it while it is opened or created is put right again.
#pragma once

#include <array>
#include <csignal>
#include <cstddef>

namespace weft::host {

inline constexpr std::array<int, 3> stop_signals = {SIGINT, SIGTERM, SIGHUP};

// They reach the whole process group; what becomes of the others in it is the host's decision.
inline void ignore_stop_signals() {
  for (const int signal : stop_signals) std::signal(signal, SIG_IGN);
}

// No signal comes to this thread, from its creation to its end.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

  const sigset_t& before() const { return before_; }

 private:
  sigset_t before_{};
};

// What the stop signals do, from its creation to its end.
class SignalsKept {
 public:
  SignalsKept() {
    pthread_sigmask(SIG_SETMASK, nullptr, &mask_);
    for (std::size_t i = 0; i < stop_signals.size(); ++i) sigaction(stop_signals[i], nullptr, &actions_[i]);
  }
  ~SignalsKept() {
    for (std::size_t i = 0; i < stop_signals.size(); ++i) sigaction(stop_signals[i], &actions_[i], nullptr);
    pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
  }
  SignalsKept(const SignalsKept&) = delete;
  SignalsKept& operator=(const SignalsKept&) = delete;

 private:
  sigset_t mask_{};
  std::array<struct sigaction, stop_signals.size()> actions_{};
};

}  // namespace weft::host
