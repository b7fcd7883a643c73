// Which trials may be compared: those of one rung.
#pragma once

#include <string>

#include "weft/trial.hpp"

namespace weft::curves {

// A name of what the trial was evaluated with. Trainings that went on from others are compared with those that did not.
inline std::string rung(Fidelity fidelity) {
  fidelity.resume_from.reset();
  return fidelity.to_json().dump();
}

}  // namespace weft::curves
