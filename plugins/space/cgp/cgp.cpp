// Cartesian genetic programming: the genotype is a grid of nodes, each with a function and two inputs from columns
// before its own; the phenotype is what the output gene reaches. All other genes are inactive, and kept.
//
// Suganuma, Shirakawa, Nagao 2017, "A Genetic Programming Approach to Designing Convolutional Neural Network
// Architectures", sections 3.1 and 3.2; details as in the authors' published code (sg-nm/cgp-cnn). Its evolution
// strategy mutates a parent that no child has surpassed neutrally: inactive genes alone. Here, where an optimizer has
// nothing but `mutate`, that drift precedes the mutation of each child instead, and so does not add up in a parent that
// stays. Deviations besides: convolutions have no bias, which batch norm would take away; where zeros for a sum cannot
// be had in the wanted number by repeating an input's, a convolution without bias makes them out of zeros, whose few
// weights are counted and do nothing.

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "weft/blocks.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"

namespace {

namespace blocks = weft::blocks;
using blocks::Convolution;
using weft::ArchitectureBuilder;
using weft::Decision;
using weft::NodeId;

struct Function {
  enum class Type { conv_block, res_block, max_pool, avg_pool, concat, sum };

  std::string name;
  Type type;
  std::int64_t filters = 0;
  std::int64_t kernel = 0;

  std::size_t inputs() const { return type == Type::concat || type == Type::sum ? 2 : 1; }
};

using Type = Function::Type;
using Genes = std::vector<std::int32_t>;  // function, input 1, input 2 of each node; then the output's input

constexpr std::size_t genes_per_node = 3;
constexpr int patience = 100000;  // attempts at a genotype with active nodes in range

// 2x2 pooling with stride 2; a direction with a single pixel left stays as it is.
NodeId halve(ArchitectureBuilder& graph, NodeId input, const char* operation) {
  const weft::Shape& shape = graph.shape(input);
  if (shape.height == 1 && shape.width == 1) return input;
  const weft::Json window = {std::min<std::int64_t>(shape.height, 2), std::min<std::int64_t>(shape.width, 2)};
  return graph.add(operation, {{"kernel", window}, {"stride", window}}, {input});
}

// Max pooling of the larger one until both have one extent. All extents come from halving the image's, so this ends.
void match_extents(ArchitectureBuilder& graph, NodeId& first, NodeId& second) {
  const auto area = [&](NodeId id) { return graph.shape(id).height * graph.shape(id).width; };
  while (area(first) != area(second)) {
    NodeId& larger = area(first) > area(second) ? first : second;
    larger = halve(graph, larger, "max_pool");
  }
}

// Zeros as further channels.
NodeId pad_channels(ArchitectureBuilder& graph, NodeId input, std::int64_t channels) {
  const std::int64_t present = graph.shape(input).channels;
  const std::int64_t missing = channels - present;
  if (missing == 0) return input;
  const NodeId zero = graph.add("zero", {}, {input});
  std::vector<NodeId> parts = {input};
  if (missing % present == 0) {
    parts.insert(parts.end(), static_cast<std::size_t>(missing / present), zero);
  } else {
    parts.push_back(blocks::convolution(graph, zero, {.channels = missing, .groups = std::gcd(missing, present)}));
  }
  return graph.add("concat", {}, parts);
}

NodeId add_sum(ArchitectureBuilder& graph, NodeId first, NodeId second) {
  match_extents(graph, first, second);
  const std::int64_t channels = std::max(graph.shape(first).channels, graph.shape(second).channels);
  return graph.add("add", {}, {pad_channels(graph, first, channels), pad_channels(graph, second, channels)});
}

NodeId add_function(ArchitectureBuilder& graph, const Function& function, NodeId first, NodeId second) {
  const Convolution convolution = Convolution::square(function.filters, function.kernel);
  switch (function.type) {
    case Type::conv_block:
      return blocks::conv_bn_relu(graph, first, convolution);
    case Type::res_block: {
      const NodeId hidden = blocks::conv_bn_relu(graph, first, convolution);
      const NodeId residual = blocks::batch_norm(graph, blocks::convolution(graph, hidden, convolution));
      return blocks::relu(graph, add_sum(graph, residual, first));
    }
    case Type::max_pool:
      return halve(graph, first, "max_pool");
    case Type::avg_pool:
      return halve(graph, first, "avg_pool");
    case Type::concat:
      match_extents(graph, first, second);
      return graph.add("concat", {}, {first, second});
    case Type::sum:
      break;
  }
  return add_sum(graph, first, second);
}

std::vector<Function> make_functions(const weft::Context& context) {
  const bool residual = context.get<std::string>("functions") == "res_set";
  std::vector<Function> functions;
  for (const std::int64_t filters : context.get<std::vector<std::int64_t>>("filters")) {
    for (const std::int64_t kernel : context.get<std::vector<std::int64_t>>("kernels")) {
      if (kernel % 2 == 0) {
        throw weft::InvalidInput("/kernels holds " + std::to_string(kernel) +
                                 "; must be odd, since padding keeps the extent of the map");
      }
      functions.push_back({(residual ? "res_" : "conv_") + std::to_string(filters) + "_" + std::to_string(kernel),
                           residual ? Type::res_block : Type::conv_block, filters, kernel});
    }
  }
  functions.push_back({"max_pool", Type::max_pool});
  functions.push_back({"avg_pool", Type::avg_pool});
  functions.push_back({"concat", Type::concat});
  functions.push_back({"sum", Type::sum});
  return functions;
}

class Cgp final : public weft::DecisionSpace {
 public:
  explicit Cgp(const weft::Context& context)
      : rows_(context.get<std::size_t>("rows")),
        columns_(context.get<std::size_t>("columns")),
        levels_back_(context.get<std::size_t>("levels_back")),
        functions_(make_functions(context)),
        min_active_(context.get<std::size_t>("min_active")),
        max_active_(context.get<std::size_t>("max_active")),
        mutation_(context.get<std::string>("mutation")),
        mutation_rate_(context.get<double>("mutation_rate")),
        drift_(context.get<bool>("drift")),
        task_(context.task()) {
    for (const Function& function : functions_) function_names_.push_back(function.name);
    if (!task_.input.is_image()) {
      throw weft::InvalidInput("the task's input is " + task_.input.to_string() +
                               "; cgp needs an image, channels x height x width");
    }
    if (min_active_ > nodes() + 1) {
      throw weft::InvalidInput("/min_active is " + std::to_string(min_active_) + "; a grid of " +
                               std::to_string(rows_) + " x " + std::to_string(columns_) + " has " +
                               std::to_string(nodes() + 1) + " nodes, the output counted; lower it");
    }
    if (max_active_ < min_active_) {
      throw weft::InvalidInput("/max_active is " + std::to_string(max_active_) +
                               "; must not be less than /min_active, " + std::to_string(min_active_));
    }
  }

  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    const std::size_t at = taken.size();
    if (at > output_gene()) return {};
    const std::size_t node = at / genes_per_node;
    Decision decision{.name = at == output_gene() ? "output" : "node " + std::to_string(node + 1) + "/",
                      .group = "input",
                      .kind = Decision::Kind::reference,
                      .step = static_cast<int>(node / rows_)};
    if (is_function(at)) {
      decision.name += decision.group = "function";
      decision.kind = Decision::Kind::categorical;
      decision.options = function_names_;
      return decision;
    }
    if (at != output_gene()) decision.name += "input " + std::to_string(at % genes_per_node);
    for (std::size_t option = 0; option < option_count(at); ++option) {
      decision.options.push_back(std::to_string(first_source(at) + option));
    }
    return decision;
  }

  // Uniform over the genes, all of them drawn anew as long as the number of active nodes is out of range.
  weft::Genotype sample(weft::Rng& rng) const override {
    Genes genes;
    for (std::size_t at = 0; at <= output_gene(); ++at) {
      genes.push_back(static_cast<std::int32_t>(rng.below(option_count(at))));
    }
    for (int attempt = 0; distance_from_range(genes) > 0; ++attempt) {
      if (attempt == patience) fail("random genotypes", "widen /min_active to /max_active");
      for (std::size_t at = 0; at < genes.size(); ++at) change(genes, at, rng);
    }
    return weft::Genotype(std::move(genes));
  }

  weft::Genotype mutate(const weft::Genotype& parent, weft::Rng& rng) const override {
    walk(parent);
    Genes start = parent.decisions;
    if (mutation_ == "point") {
      mutate_each(start, rng);
      return weft::Genotype(std::move(start));
    }
    if (drift_ || mutation_ == "neutral") mutate_neutrally(start, rng);
    if (mutation_ == "neutral") return weft::Genotype(std::move(start));
    // A parent from elsewhere may be out of range; its child must not be further out.
    const std::size_t allowed = distance_from_range(start);
    for (int attempt = 0; attempt < patience; ++attempt) {
      Genes child = start;
      if (mutate_each(child, rng) && distance_from_range(child) <= allowed) return weft::Genotype(std::move(child));
    }
    fail("mutations",
         "raise /mutation_rate, " + std::to_string(mutation_rate_) + ", or widen /min_active to /max_active");
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    walk(genotype);
    const Genes& genes = genotype.decisions;
    const std::vector<bool> active = active_nodes(genes);
    ArchitectureBuilder graph;
    std::vector<NodeId> values(nodes() + 1);
    values[0] = graph.input(task_.input);
    for (std::size_t node = 0; node < nodes(); ++node) {
      if (!active[node]) continue;
      const auto group = graph.group("node " + std::to_string(node + 1));
      const std::size_t gene = node * genes_per_node;
      values[node + 1] = add_function(graph, function_of(genes, node), values[source(genes, gene + 1)],
                                      values[source(genes, gene + 2)]);
    }
    const auto group = graph.group("classifier");
    const NodeId features = graph.add("flatten", {}, {values[source(genes, output_gene())]});
    return {std::move(graph).build(graph.add("linear", {{"features", task_.classes}}, {features}))};
  }

  // Function and inputs of every node, active or not, then what the output reads: sum(3,0) .. -> 7. The image is 0.
  std::string notation(const weft::Genotype& genotype) const override {
    walk(genotype);
    const Genes& genes = genotype.decisions;
    std::string text;
    for (std::size_t node = 0; node < nodes(); ++node) {
      const std::size_t gene = node * genes_per_node;
      text += function_of(genes, node).name + "(" + std::to_string(source(genes, gene + 1)) + "," +
              std::to_string(source(genes, gene + 2)) + ") ";
    }
    return text + "-> " + std::to_string(source(genes, output_gene()));
  }

  weft::Genotype parse(std::string_view notation) const override {
    weft::NotationReader reader(notation,
                                function_names_.front() + "(0,0) sum(1,0) .. -> 7, nodes: " + std::to_string(nodes()));
    Genes genes;
    for (std::size_t node = 0; node < nodes(); ++node) {
      genes.push_back(static_cast<std::int32_t>(reader.option(function_names_, "a function")));
      reader.expect("(");
      genes.push_back(read_source(reader, genes.size()));
      reader.expect(",");
      genes.push_back(read_source(reader, genes.size()));
      reader.expect(")");
    }
    reader.expect("->");
    genes.push_back(read_source(reader, genes.size()));
    reader.expect_end();
    return weft::Genotype(std::move(genes));
  }

 private:
  std::size_t nodes() const { return rows_ * columns_; }
  std::size_t output_gene() const { return nodes() * genes_per_node; }
  bool is_function(std::size_t gene) const { return gene != output_gene() && gene % genes_per_node == 0; }

  // The smallest number that an input gene may name: 0 is the image, n + 1 is node n.
  std::size_t first_source(std::size_t gene) const {
    const std::size_t column = gene / genes_per_node / rows_;
    return column < levels_back_ ? 0 : (column - levels_back_) * rows_ + 1;
  }

  std::size_t option_count(std::size_t gene) const {
    if (is_function(gene)) return functions_.size();
    const std::size_t column = gene / genes_per_node / rows_;
    return column * rows_ + 1 - first_source(gene);
  }

  std::size_t source(const Genes& genes, std::size_t gene) const {
    return first_source(gene) + static_cast<std::size_t>(genes[gene]);
  }

  const Function& function_of(const Genes& genes, std::size_t node) const {
    return functions_[static_cast<std::size_t>(genes[node * genes_per_node])];
  }

  std::vector<bool> active_nodes(const Genes& genes) const {
    std::vector<bool> active(nodes() + 1);  // by source: the image, which is no node, at 0
    active[source(genes, output_gene())] = true;
    for (std::size_t node = nodes(); node-- > 0;) {
      if (!active[node + 1]) continue;
      for (std::size_t input = 1; input <= function_of(genes, node).inputs(); ++input) {
        active[source(genes, node * genes_per_node + input)] = true;
      }
    }
    active.erase(active.begin());
    return active;
  }

  // A unary function ignores its second input.
  bool is_active(const Genes& genes, const std::vector<bool>& active, std::size_t gene) const {
    if (gene == output_gene()) return true;
    const std::size_t node = gene / genes_per_node;
    return active[node] && gene % genes_per_node <= function_of(genes, node).inputs();
  }

  std::size_t distance_from_range(const Genes& genes) const {
    const std::vector<bool> active = active_nodes(genes);
    const auto count = static_cast<std::size_t>(std::count(active.begin(), active.end(), true)) + 1;
    return count < min_active_ ? min_active_ - count : count > max_active_ ? count - max_active_ : 0;
  }

  // To another of the gene's values, if there is one.
  bool change(Genes& genes, std::size_t gene, weft::Rng& rng) const {
    if (option_count(gene) < 2) return false;
    auto drawn = static_cast<std::int32_t>(rng.below(option_count(gene) - 1));
    if (drawn >= genes[gene]) ++drawn;
    genes[gene] = drawn;
    return true;
  }

  // Whether an active gene changed.
  bool mutate_each(Genes& genes, weft::Rng& rng) const {
    const Genes before = genes;
    const std::vector<bool> active = active_nodes(before);
    bool changed_active = false;
    for (std::size_t gene = 0; gene < genes.size(); ++gene) {
      if (!rng.bernoulli(mutation_rate_) || !change(genes, gene, rng)) continue;
      changed_active = changed_active || is_active(before, active, gene);
    }
    return changed_active;
  }

  void mutate_neutrally(Genes& genes, weft::Rng& rng) const {
    const Genes before = genes;
    const std::vector<bool> active = active_nodes(before);
    for (std::size_t gene = 0; gene < genes.size(); ++gene) {
      if (!is_active(before, active, gene) && rng.bernoulli(mutation_rate_)) change(genes, gene, rng);
    }
  }

  std::int32_t read_source(weft::NotationReader& reader, std::size_t gene) const {
    const std::int64_t number = reader.integer("the number of a node");
    const auto first = static_cast<std::int64_t>(first_source(gene));
    const std::int64_t end = first + static_cast<std::int64_t>(option_count(gene));
    if (number < first || number >= end) {
      reader.fail("a number from " + std::to_string(first) + " to " + std::to_string(end - 1) + " before this");
    }
    return static_cast<std::int32_t>(number - first);
  }

  [[noreturn]] void fail(const std::string& what, const std::string& remedy) const {
    throw weft::Error("of " + std::to_string(patience) + " " + what + " none has from " + std::to_string(min_active_) +
                      " to " + std::to_string(max_active_) + " active nodes; " + remedy);
  }

  std::size_t rows_;
  std::size_t columns_;
  std::size_t levels_back_;
  std::vector<Function> functions_;
  std::vector<std::string> function_names_;
  std::size_t min_active_;
  std::size_t max_active_;
  std::string mutation_;
  double mutation_rate_;
  bool drift_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Cgp>("cgp"))
