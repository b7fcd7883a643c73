// What the vendor's private library offers: how many values a digit has.
#pragma once

namespace acme {
int digits();
}
