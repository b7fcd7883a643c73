// Stands between this process and a program: a process of its own that ends the program, and all that ever came of it,
// when it is told to or when this process dies, however it dies.
//
// A process that loses its parent becomes the keeper's child, so that nothing escapes it: no process group, no session,
// no daemon. The keeper itself heeds no signal but SIGKILL; where that comes, the program dies with it.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "descriptor.hpp"

namespace command {

struct Launch {
  std::string file;                         // the executable, found already
  std::vector<std::string> arguments;       // the first is the name of the program
  std::vector<std::string> environment;     // NAME=value; nothing else is inherited
  std::filesystem::path working_directory;  // empty: that of this process
};

class Keeper {
 public:
  // Starts the program, with these as its descriptors 0, 1 and 2. Throws Error if it cannot be started.
  Keeper(const Launch& launch, int input, int output, int errors);
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  // Readable once the program has ended, and with it all that came of it.
  int ending() const { return ending_.get(); }
  bool has_ended() const;
  // Ends the program, if it has not ended, and all that came of it. Its status as of waitpid.
  int end();

 private:
  pid_t process_ = -1;  // the keeper
  Descriptor ending_;   // of the keeper
  Descriptor leash_;    // it ends its program when this is closed
  Descriptor status_;   // of the program, in its last moment
};

}  // namespace command
