// The curves of an architecture's searched activations.
#pragma once

#include <optional>
#include <string>

#include "weft/architecture.hpp"

namespace weft::host {

// An <svg> element with a curve for each different formula of the architecture's `activation_unit` nodes, those of
// recurrent cells included, from -5 to 5 in both directions; betas as a training begins with them. Nothing where there
// are no such nodes.
std::optional<std::string> activation_curves(const Architecture& architecture);

}  // namespace weft::host
