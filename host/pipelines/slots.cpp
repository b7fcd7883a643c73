#include "host/pipelines/slots.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <sstream>
#include <thread>

#include "weft/error.hpp"

namespace weft::host {

namespace fs = std::filesystem;

namespace {

std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc::result_out_of_range) return std::numeric_limits<std::uint64_t>::max();
  return error == std::errc{} && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

// NVIDIA's driver makes /dev/nvidia0, nvidia1, .. Other drivers that a LibTorch may use have one file for all cards.
std::optional<std::size_t> count_cards(const fs::path& devices) {
  std::error_code ignored;
  std::size_t cards = 0;
  for (const auto& entry : fs::directory_iterator(devices, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("nvidia") && number_of(std::string_view(name).substr(6))) ++cards;
  }
  if (cards == 0 && (fs::exists(devices / "dxg", ignored) || fs::exists(devices / "kfd", ignored))) return {};
  return cards;
}

// What CUDA makes of it: a list that ends where it names no card.
std::vector<std::string> visible_cards(const std::string& variable, std::optional<std::size_t> count) {
  std::vector<std::string> cards;
  std::istringstream stream(variable);
  for (std::string name; std::getline(stream, name, ',');) {
    const auto number = number_of(name);
    if (name.empty() || name.front() == '-' || (number && count && *number >= *count)) break;
    cards.push_back(name);
  }
  return cards;
}

std::string cards_in_words(std::size_t cards) {
  const char* variable = std::getenv("CUDA_VISIBLE_DEVICES");
  const std::string why =
      variable == nullptr ? "" : fmt::format(" that CUDA_VISIBLE_DEVICES, \"{}\", leaves visible", variable);
  if (cards == 0) return fmt::format("has no card{}; use \"cpu:<threads>\"", why);
  return fmt::format("has {} card{}{}, \"cuda:0\" to \"cuda:{}\"", cards, cards == 1 ? "" : "s", why, cards - 1);
}

void check(const std::vector<std::string>& slots, const std::string& place, const Machine& machine) {
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const std::uint64_t number = number_of(slots[i].substr(slots[i].find(':') + 1)).value_or(0);
    const auto refuse = [&](const std::string& has) {
      throw InvalidInput(fmt::format("{}/{} is \"{}\"; this machine {}", place, i, slots[i], has));
    };
    if (slots[i].starts_with("cpu:") && number > machine.cores)
      refuse(fmt::format("has {} cores, so that \"cpu:{}\" is the most", machine.cores, machine.cores));
    if (slots[i].starts_with("cuda:") && machine.cards && number >= machine.cards->size())
      refuse(cards_in_words(machine.cards->size()));
  }
}

}  // namespace

Machine Machine::look(const fs::path& devices) {
  Machine machine{std::max(1U, std::thread::hardware_concurrency()), {}};
  const std::optional<std::size_t> count = count_cards(devices);
  if (const char* variable = std::getenv("CUDA_VISIBLE_DEVICES"); variable != nullptr && count != std::size_t{0}) {
    machine.cards = visible_cards(variable, count);
  } else if (count) {
    machine.cards.emplace();
    for (std::size_t i = 0; i < *count; ++i) machine.cards->push_back(std::to_string(i));
  }
  return machine;
}

std::string Machine::card(const std::string& index) const {
  const std::uint64_t number = number_of(index).value_or(0);
  return cards && number < cards->size() ? cards->at(number) : index;
}

void check_slots(const Pipeline& pipeline, const Machine& machine) {
  check(pipeline.slots, pipeline.file() + ": /executor/slots", machine);
  if (pipeline.oneshot) check(pipeline.oneshot->slots, pipeline.file() + ": /oneshot/slots", machine);
  if (pipeline.final) check(pipeline.final->slots, pipeline.file() + ": /final/slots", machine);
}

}  // namespace weft::host
