// Plugins that were built for earlier releases, from that release's header alone: this host loads them, and they
// propose what they always proposed.

#include "tests/catch.hpp"
#include "tests/end_to_end/program.hpp"
#include "weft/rng.hpp"

using namespace weft::testing;
using weft::Json;

TEST_CASE("every later host loads the plugin of release 1.0, and it proposes the same") {
  std::size_t found = 0;
  for (const char* compiler : {"gcc", "clang"}) {
    const fs::path plugin = fs::path(WEFT_TEST_BINARY) / "tests/abi" / (std::string("1.0-") + compiler);
    if (!fs::exists(plugin)) continue;  // that compiler is not installed
    ++found;
    const TemporaryFolder folder;
    Json pipeline = table_pipeline(write_table(folder / "table.csv"), 50);
    pipeline["optimizer"] = {{"name", "frozen"}};
    write_file(folder / "pipeline.json", pipeline.dump());
    const Ran ran =
        run({"--plugin-path", plugin.string(), "run", "pipeline.json", "--study", "study", "--quiet"}, folder.path());
    INFO(ran.err);
    REQUIRE(ran.code == 0);
    const Json trials = trials_of(folder / "study", folder.path());
    REQUIRE(trials.size() == 50);
    std::string proposals;
    for (const Json& trial : trials) proposals += trial.at("genotype").dump();
    // Of the first host that ran it; the streams of randomness and NAS-Bench-201's decisions are part of the promise.
    CHECK(weft::hash_text(proposals) == 0x32c7e9fd54717888ULL);
  }
  CHECK(found > 0);
}
