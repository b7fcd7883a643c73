// A space of one: a given architecture, to retrain what a search has found or to measure a baseline. A candidate that
// was found with a recipe keeps it.
//
// It has no decisions; its only genotype is the empty one.

#include <fstream>
#include <optional>
#include <string>

#include "weft/data_path.hpp"
#include "weft/plugin.hpp"

namespace {

constexpr std::string_view name = "fixed";

// An architecture, whose "architecture" is a version, or {"architecture", "recipe"}.
weft::Candidate read(const weft::Json& json) {
  if (json.is_object() && json.contains("architecture") && json.at("architecture").is_object())
    return weft::Candidate::from_json(json);
  return {weft::Architecture::from_json(json)};
}

weft::Candidate read_file(const std::string& given) {
  const std::string path = weft::data_path(given).string();
  weft::require_file(path, "Set /file to an architecture.json or a candidate.json");
  std::ifstream file(path);
  try {
    return read(weft::Json::parse(file));
  } catch (const weft::Json::exception& error) {
    throw weft::InvalidInput("/file: " + path + " is not JSON: " + error.what());
  } catch (const weft::InvalidInput& error) {
    throw weft::InvalidInput("/file: " + path + ": " + error.what());
  }
}

weft::Candidate read_configuration(const weft::Json& configuration) {
  if (configuration.contains("architecture") == configuration.contains("file")) {
    throw weft::InvalidInput("either /architecture or /file must be given, the one or the other");
  }
  if (configuration.contains("file")) return read_file(configuration.at("file"));
  try {
    return read(configuration.at("architecture"));
  } catch (const weft::InvalidInput& error) {
    throw weft::InvalidInput(std::string("/architecture: ") + error.what());
  }
}

void check_fits(const weft::Architecture& architecture, const weft::Task& task) {
  if (architecture.has_choices()) {
    throw weft::InvalidInput(
        "the architecture holds choice nodes; it is a supernet, of which no one network is trained");
  }
  for (const weft::Node& node : architecture.nodes()) {
    if (node.operation != "input" || node.shape == task.input) continue;
    throw weft::InvalidInput("the architecture was made for an input of " + node.shape.to_string() +
                             ", but the task's is " + task.input.to_string() +
                             "; decode the genotype again for this task, or use the data set it was made for");
  }
  const weft::Shape& output = architecture.shape(architecture.output());
  if (output.channels != task.classes) {
    throw weft::InvalidInput("the architecture's output is " + output.to_string() + ", but the task has " +
                             std::to_string(task.classes) + " classes; they must be equal");
  }
}

class Fixed final : public weft::Space, public weft::Decisions {
 public:
  explicit Fixed(const weft::Context& context) : candidate_(read_configuration(context.configuration())) {
    if (context.configuration().contains("recipe")) candidate_.recipe = context.configuration().at("recipe");
    check_fits(candidate_.architecture, context.task());
  }

  weft::Genotype sample(weft::Rng&) const override { return {}; }
  std::optional<weft::Decision> next(std::span<const std::int32_t>) const override { return {}; }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    check(genotype);
    return candidate_;
  }
  std::string notation(const weft::Genotype& genotype) const override {
    check(genotype);
    return std::string(name);
  }
  weft::Genotype parse(std::string_view notation) const override {
    if (notation != name)
      throw weft::InvalidInput("\"" + std::string(notation) + "\" is not \"fixed\", the only genotype there is");
    return {};
  }

 private:
  static void check(const weft::Genotype& genotype) {
    if (genotype != weft::Genotype())
      throw weft::InvalidInput("the only genotype is the empty one, not " + genotype.key());
  }

  weft::Candidate candidate_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Fixed>("fixed"))
