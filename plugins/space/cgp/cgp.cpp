// Cartesian genetic programming: the genotype is a grid of nodes, each with a function and two inputs from columns
// before its own; the phenotype is what the output gene reaches. All other genes are inactive, and kept.
//
// Suganuma, Shirakawa, Nagao 2017, "A Genetic Programming Approach to Designing Convolutional Neural Network
// Architectures", sections 3.1 and 3.2; details as in the authors' published code (sg-nm/cgp-cnn). `mutate` is the
// forced mutation that makes a child. The neutral one, of a parent that no child surpassed, is the optimizer's, who
// knows which stays: what may drift are decisions that leave the decoded network as it is. Each inactive gene is one,
// whatever the others are, so that this is the paper's loop. Deviation: convolutions have no bias, which batch norm
// would take away.

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "weft/blocks.hpp"
#include "weft/notation_reader.hpp"
#include "weft/plugin.hpp"
#include "weft/requirements.hpp"

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
constexpr int patience = 10000;  // attempts at a genotype with active nodes in range

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

// Zeros fill up the channels of the narrower one.
NodeId add_sum(ArchitectureBuilder& graph, NodeId first, NodeId second) {
  match_extents(graph, first, second);
  const std::int64_t surplus = graph.shape(second).channels - graph.shape(first).channels;
  NodeId& narrower = surplus > 0 ? first : second;
  if (surplus != 0) narrower = graph.add("pad", {{"channels", std::abs(surplus)}}, {narrower});
  return graph.add("add", {}, {first, second});
}

NodeId add_function(ArchitectureBuilder& graph, const Function& function, NodeId first, NodeId second) {
  const Convolution convolution = Convolution::square(function.filters, function.kernel);
  switch (function.type) {
    case Type::conv_block:
      return blocks::conv_bn_relu(graph, first, convolution);
    case Type::res_block: {
      const NodeId hidden = blocks::conv_bn_relu(graph, first, convolution);
      return blocks::relu(graph, add_sum(graph, blocks::conv_bn(graph, hidden, convolution), first));
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
  const auto kernels = context.get<std::vector<std::int64_t>>("kernels");
  weft::require::odd(kernels, "kernels");
  std::vector<Function> functions;
  for (const std::int64_t filters : context.get<std::vector<std::int64_t>>("filters")) {
    for (const std::int64_t kernel : kernels) {
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
        forced_(context.get<std::string>("mutation") == "active"),
        mutation_rate_(context.get<double>("mutation_rate")),
        task_(context.task()) {
    weft::require::image(task_.input, "cgp");
    for (const Function& function : functions_) function_names_.push_back(function.name);
    for (std::size_t source = 0; source <= nodes(); ++source) source_names_.push_back(std::to_string(source));
    check_range();
  }

  std::optional<Decision> next(std::span<const std::int32_t> taken) const override {
    const std::size_t at = taken.size();
    if (at > output_gene()) return {};
    const std::size_t node = at / genes_per_node;
    Decision decision{.name = at == output_gene() ? "output" : "node " + std::to_string(node + 1) + "/",
                      .group = "input",
                      .kind = Decision::Kind::reference,
                      .step = static_cast<int>(node)};
    if (is_function(at)) {
      decision.name += "function";
      decision.group = "function";
      decision.kind = Decision::Kind::categorical;
      decision.options = function_names_;
      return decision;
    }
    if (at != output_gene()) decision.name += "input " + std::to_string(at % genes_per_node);
    const auto first = source_names_.begin() + static_cast<std::ptrdiff_t>(first_source(at));
    decision.options.assign(first, first + static_cast<std::ptrdiff_t>(option_count(at)));
    decision.named_steps.resize(option_count(at));
    // Source 0 is the network's input, no_step; source k the k-th node, decided in step k - 1.
    std::iota(decision.named_steps.begin(), decision.named_steps.end(), static_cast<int>(first_source(at)) - 1);
    return decision;
  }

  // Uniform over the genes; all of them change, as long as the number of active nodes is out of range.
  weft::Genotype sample(weft::Rng& rng) const override {
    Genes genes;
    for (std::size_t at = 0; at <= output_gene(); ++at) {
      genes.push_back(static_cast<std::int32_t>(rng.below(option_count(at))));
    }
    for (int attempt = 0; distance_from_range(genes) > 0; ++attempt) {
      if (attempt == patience) fail("random genotype", "widen /min_active to /max_active");
      for (std::size_t at = 0; at < genes.size(); ++at) change(genes, at, rng);
    }
    return weft::Genotype(std::move(genes));
  }

  weft::Genotype mutate(const weft::Genotype& parent, weft::Rng& rng) const override {
    check(parent);
    // A parent from elsewhere may be out of range; its child must not be further out.
    const std::size_t allowed = distance_from_range(parent.decisions);
    for (int attempt = 0; attempt < patience; ++attempt) {
      Genes child = parent.decisions;
      const bool changed_active = mutate_each(child, rng);
      if (!forced_ || (changed_active && distance_from_range(child) <= allowed))
        return weft::Genotype(std::move(child));
    }
    fail("mutation of an active gene",
         "raise /mutation_rate, " + std::to_string(mutation_rate_) + ", or widen /min_active to /max_active");
  }

  weft::Candidate decode(const weft::Genotype& genotype) const override {
    check(genotype);
    const Genes& genes = genotype.decisions;
    const std::vector<bool> active = active_nodes(genes);
    ArchitectureBuilder graph;
    std::vector<NodeId> values(nodes() + 1);
    values[0] = graph.input(task_.input);
    for (std::size_t node = 0; node < nodes(); ++node) {
      if (!active[node]) continue;
      const Function& function = function_of(genes, node);
      const auto group = graph.group(function.name + " " + std::to_string(node + 1));
      const std::size_t gene = node * genes_per_node;
      values[node + 1] =
          add_function(graph, function, values[source(genes, gene + 1)], values[source(genes, gene + 2)]);
    }
    const auto group = graph.group("classifier");
    const NodeId features = graph.add("flatten", {}, {values[source(genes, output_gene())]});
    const NodeId classes = graph.add("linear", {{"features", task_.classes}}, {features});
    return {std::move(graph).build(classes)};
  }

  // Function and inputs of every node, active or not, then what the output reads: sum(3,0) .. -> 7. The image is 0.
  std::string notation(const weft::Genotype& genotype) const override {
    check(genotype);
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
  // As walk() does, which writes out the options of hundreds of genes: only where there is something to say.
  void check(const weft::Genotype& genotype) const {
    const Genes& genes = genotype.decisions;
    bool sound = genotype.opaque.is_null() && genes.size() == output_gene() + 1;
    for (std::size_t at = 0; sound && at < genes.size(); ++at)
      sound = genes[at] >= 0 && static_cast<std::size_t>(genes[at]) < option_count(at);
    if (!sound) walk(genotype);
  }

  void check_range() const {
    const auto refuse = [&](const std::string& value, const std::string& rule) {
      throw weft::InvalidInput(value + "; " + rule);
    };
    const std::string grid = "a grid of " + std::to_string(rows_) + " x " + std::to_string(columns_) +
                             " with /levels_back " + std::to_string(levels_back_) + " has at ";
    const std::string low = "/min_active is " + std::to_string(min_active_);
    const std::string high = "/max_active is " + std::to_string(max_active_);
    if (min_active_ > most_active()) {
      refuse(low, grid + "most " + std::to_string(most_active()) + " active nodes, the output counted; lower it");
    }
    if (max_active_ < fewest_active()) {
      refuse(high, grid + "least " + std::to_string(fewest_active()) + " active nodes, the output counted; raise it");
    }
    if (max_active_ < min_active_) refuse(high, "must not be less than /min_active, " + std::to_string(min_active_));
  }

  // A chain from the output to the image, each link as far back as it may be.
  std::size_t fewest_active() const { return 1 + columns_ / levels_back_; }

  // Columns filled from the last: each active node is read by one after it and offers two inputs itself, of which those
  // that reach least far are used first.
  std::size_t most_active() const {
    std::vector<std::size_t> offers(columns_ + 1);  // inputs still free, by column
    offers[columns_] = 1;                           // the output's
    std::size_t active = 1;
    for (std::size_t column = columns_; column-- > 0;) {
      std::size_t room = rows_;
      for (std::size_t reader = std::min(columns_, column + levels_back_); reader > column; --reader) {
        const std::size_t taken = std::min(room, offers[reader]);
        offers[reader] -= taken;
        room -= taken;
      }
      active += rows_ - room;
      offers[column] = 2 * (rows_ - room);
    }
    return active;
  }

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
    throw weft::Error(std::to_string(patience) + " attempts gave no " + what + " with " + std::to_string(min_active_) +
                      " to " + std::to_string(max_active_) + " active nodes; " + remedy);
  }

  std::size_t rows_;
  std::size_t columns_;
  std::size_t levels_back_;
  std::vector<Function> functions_;
  std::vector<std::string> function_names_, source_names_;
  std::size_t min_active_;
  std::size_t max_active_;
  bool forced_;
  double mutation_rate_;
  weft::Task task_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Cgp>("cgp"))
