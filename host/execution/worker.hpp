// The worker process: `weft worker`, started by the local executor with a socket as descriptor 3.
#pragma once

namespace weft::host {

// Serves jobs until the host is gone. Returns the exit code.
int run_worker();

}  // namespace weft::host
