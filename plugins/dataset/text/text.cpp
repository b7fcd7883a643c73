// Text files, word by word or character by character, for language models.
//
// By words as in the Penn Treebank's common form (Mikolov et al. 2010): tokens are what white space separates, and
// every line ends with <eos>. By characters every Unicode character is a token, the end of a line among them. The
// vocabulary is what the training text holds, the most frequent first; anything else is <unk>. A split without a file
// of its own is held out from the end of the training file.

#include "weft/torch/text.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "weft/data_path.hpp"
#include "weft/plugin.hpp"

namespace {

using Tokens = std::vector<std::string>;

constexpr const char* unknown = "<unk>";

std::string read_file(const std::filesystem::path& file, const char* parameter) {
  weft::require_file(file, "Set /" + std::string(parameter) + " to a file of plain text");
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

Tokens words(const std::string& text) {
  Tokens tokens;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream stream(line);
    for (std::string word; stream >> word;) tokens.push_back(word);
    tokens.emplace_back("<eos>");
  }
  return tokens;
}

// The length of the UTF-8 sequence that begins at `at`; 0 where none does (RFC 3629).
std::size_t sequence_length(std::string_view text, std::size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xC2 ? 0
                             : first < 0xE0 ? 2
                             : first < 0xF0 ? 3
                             : first < 0xF5 ? 4
                                            : 0;
  if (at + length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[at + i]) & 0xC0) != 0x80) return 0;
  }
  return length;
}

Tokens characters(const std::string& text, const std::string& file) {
  Tokens tokens;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = sequence_length(text, at);
    if (length == 0) {
      throw weft::InvalidInput(file + ": byte " + std::to_string(at) +
                               " is not UTF-8; convert the file, or read it with /level word");
    }
    tokens.push_back(text.substr(at, length));
    at += length;
  }
  return tokens;
}

// All tokens of `tokens`, or the `limit` - 1 most frequent and <unk>; ties in the order of their bytes.
Tokens vocabulary_of(const Tokens& tokens, std::int64_t limit) {
  std::map<std::string, std::int64_t> counts = {{unknown, 0}};
  for (const std::string& token : tokens) ++counts[token];
  std::vector<std::pair<std::string, std::int64_t>> ranked(counts.begin(), counts.end());
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  if (limit > 0 && limit < static_cast<std::int64_t>(ranked.size())) {
    const auto end = ranked.begin() + limit;
    const auto found =
        std::find_if(ranked.begin(), ranked.end(), [](const auto& entry) { return entry.first == unknown; });
    if (found >= end) std::iter_swap(found, end - 1);
    ranked.erase(end, ranked.end());
  }
  Tokens vocabulary;
  for (const auto& [token, count] : ranked) vocabulary.push_back(token);
  return vocabulary;
}

std::unordered_map<std::string, std::int64_t> numbered(const Tokens& vocabulary) {
  std::unordered_map<std::string, std::int64_t> numbers;
  for (const std::string& token : vocabulary) numbers.emplace(token, static_cast<std::int64_t>(numbers.size()));
  return numbers;
}

at::Tensor numbers(const Tokens& tokens, const std::unordered_map<std::string, std::int64_t>& vocabulary) {
  at::Tensor stream = at::empty({static_cast<std::int64_t>(tokens.size())}, at::kLong);
  std::int64_t* number = stream.data_ptr<std::int64_t>();
  const std::int64_t otherwise = vocabulary.at(unknown);
  for (const std::string& token : tokens) {
    const auto found = vocabulary.find(token);
    *number++ = found == vocabulary.end() ? otherwise : found->second;
  }
  return stream;
}

class Text final : public weft::TextDataset {
 public:
  explicit Text(const weft::Context& context)
      : positions_(context.get<std::int64_t>("positions")), final_phase_(context.final_phase()) {
    Tokens train = read(context, "train_file");
    const double share = context.get<double>("held_out");
    const auto held_out = static_cast<std::ptrdiff_t>(share * static_cast<double>(train.size()));
    // Files are read in either phase, so that a missing one is found out before the search.
    const auto split = [&](const char* parameter) {
      if (!context.get<std::string>(parameter).empty()) return read(context, parameter);
      Tokens end(train.end() - held_out, train.end());
      train.erase(train.end() - held_out, train.end());
      return end;
    };
    const Tokens test = split("test_file"), validation = split("validation_file");
    vocabulary_ = vocabulary_of(train, context.get<std::int64_t>("vocabulary_limit"));
    const std::unordered_map<std::string, std::int64_t> vocabulary = numbered(vocabulary_);
    const auto limit = context.get<std::size_t>("train_limit");
    if (limit > 0 && limit < train.size()) train.resize(limit);
    classes_ = static_cast<std::int64_t>(vocabulary_.size());
    train_ = numbers(train, vocabulary);
    validation_ = numbers(validation, vocabulary);
    if (final_phase_) test_ = numbers(test, vocabulary);
    using Length = std::tuple<const char*, std::size_t, const char*>;
    for (const auto& [name, tokens, remedy] :
         {Length("training", train.size(), "smaller"), Length("validation", validation.size(), "larger"),
          Length("test", test.size(), "larger")}) {
      if (static_cast<std::int64_t>(tokens) > positions_) continue;
      throw weft::InvalidInput(
          "the " + std::string(name) + " text has " + std::to_string(tokens) +
          " tokens, which is shorter than one sequence of /positions, " + std::to_string(positions_) +
          ", and the token after it; give more text, fewer /positions or a " + remedy + " /held_out");
    }
  }

  weft::Task task() const override { return {weft::Shape::sequence(positions_, 1), classes_}; }
  const at::Tensor& train() const override { return train_; }
  const at::Tensor& validation() const override { return validation_; }
  const at::Tensor& test() const override {
    if (!final_phase_)
      throw weft::Error("the test split is not available in a search; it is for the final evaluation alone");
    return test_;
  }
  std::vector<std::string> vocabulary() const override { return vocabulary_; }

 private:
  static Tokens read(const weft::Context& context, const char* parameter) {
    const std::filesystem::path file = weft::data_path(context.get<std::string>(parameter));
    const std::string text = read_file(file, parameter);
    return context.get<std::string>("level") == "word" ? words(text) : characters(text, file.string());
  }

  std::int64_t positions_;
  bool final_phase_;
  std::int64_t classes_ = 0;
  Tokens vocabulary_;
  at::Tensor train_, validation_, test_;
};

}  // namespace

WEFT_PLUGIN(weft::component<Text>("text"))
