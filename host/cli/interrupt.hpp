// Ctrl-C: the first asks for a clean stop, the second leaves at once.
#pragma once

#include <atomic>

namespace weft::host {

// Set by SIGINT, SIGTERM and SIGHUP once install_interrupt_handler() was called; not by one that was ignored when the
// program started, as nohup has it.
const std::atomic<bool>& interrupted();
void install_interrupt_handler();

}  // namespace weft::host
