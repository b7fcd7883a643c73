#include "cells.hpp"

#include <algorithm>

#include "weft/error.hpp"
#include "weft/notation_reader.hpp"

namespace darts {

namespace {

std::string quoted(const std::string& text) { return "\"" + text + "\""; }

void check(const Cell& cell, const std::string& name) {
  const auto refuse = [&](const std::string& reason) {
    throw weft::InvalidInput("cell " + quoted(name) + ": " + reason);
  };
  if (cell.edges.empty() || cell.edges.size() % 2 != 0) {
    refuse("has " + std::to_string(cell.edges.size()) + " operations; every node takes two");
  }
  for (std::size_t i = 0; i < cell.edges.size(); ++i) {
    const std::string& operation = cell.edges[i].operation;
    const int input = cell.edges[i].input;
    const int node = 2 + static_cast<int>(i / 2);
    const auto among = [&](const auto& names) {
      return std::find(names.begin(), names.end(), operation) != names.end();
    };
    if (!among(search_operations) && !among(other_operations)) {
      refuse("unknown operation " + quoted(operation) + "; known are " + weft::Json(search_operations).dump() +
             " and " + weft::Json(other_operations).dump());
    }
    if (input < 0 || input >= node) {
      refuse("node " + std::to_string(node) + " reads state " + std::to_string(input) + "; it may read 0 to " +
             std::to_string(node - 1));
    }
  }
  if (cell.concat.empty()) refuse("concatenates nothing");
  for (std::size_t i = 0; i < cell.concat.size(); ++i) {
    const int state = cell.concat[i];
    if (state < 0 || state >= cell.states()) {
      refuse("concatenates state " + std::to_string(state) + "; there are 0 to " + std::to_string(cell.states() - 1));
    }
    if (std::count(cell.concat.begin(), cell.concat.end(), state) > 1) {
      refuse("concatenates state " + std::to_string(state) + " twice");
    }
  }
}

const Cells& checked(const Cells& cells) {
  check(cells.normal, "normal");
  check(cells.reduce, "reduce");
  return cells;
}

weft::Json edges_to_json(const Cell& cell) {
  weft::Json edges = weft::Json::array();
  for (const Edge& edge : cell.edges) edges.push_back({edge.operation, edge.input});
  return edges;
}

Cell cell_from_json(const weft::Json& edges, const weft::Json& concat) {
  Cell cell;
  for (const weft::Json& edge : edges) {
    if (edge.size() != 2) throw weft::InvalidInput(edge.dump() + " is not an operation, such as [\"sep_conv_3x3\", 0]");
    cell.edges.push_back({edge.at(0), edge.at(1)});
  }
  cell.concat = concat.get<std::vector<int>>();
  return cell;
}

std::string to_text(const Cell& cell, const std::string& name) {
  std::string text = name + "=[";
  for (std::size_t i = 0; i < cell.edges.size(); ++i) {
    text += (i ? ", " : "") + ("('" + cell.edges[i].operation + "', ") + std::to_string(cell.edges[i].input) + ")";
  }
  text += "], " + name + "_concat=[";
  for (std::size_t i = 0; i < cell.concat.size(); ++i) text += (i ? ", " : "") + std::to_string(cell.concat[i]);
  return text + "]";
}

int read_state(weft::NotationReader& reader) {
  const std::int64_t state = reader.integer("the number of a state");
  if (state < 0 || state > 1000) reader.fail("a state from 0 to 1000 before this");
  return static_cast<int>(state);
}

std::string read_operation(weft::NotationReader& reader) {
  const std::string_view quote = reader.accept("\"") ? "\"" : "'";
  if (quote == "'") reader.expect(quote);
  std::string operation(reader.word("the name of an operation"));
  reader.expect(quote);
  return operation;
}

Cell read_cell(weft::NotationReader& reader, const std::string& name) {
  Cell cell;
  reader.expect(name + "=");
  reader.expect("[");
  while (!reader.accept("]")) {
    if (!cell.edges.empty()) reader.expect(",");
    reader.expect("(");
    std::string operation = read_operation(reader);
    reader.expect(",");
    cell.edges.push_back({std::move(operation), read_state(reader)});
    reader.expect(")");
  }
  reader.expect(",");
  reader.expect(name + "_concat=");
  if (reader.accept("range(")) {
    const int begin = read_state(reader);
    reader.expect(",");
    const int end = read_state(reader);
    reader.expect(")");
    for (int state = begin; state < end; ++state) cell.concat.push_back(state);
  } else {
    reader.expect("[");
    while (!reader.accept("]")) {
      if (!cell.concat.empty()) reader.expect(",");
      cell.concat.push_back(read_state(reader));
    }
  }
  return cell;
}

}  // namespace

weft::Json Cells::to_json() const {
  return {{"normal", edges_to_json(normal)},
          {"normal_concat", normal.concat},
          {"reduce", edges_to_json(reduce)},
          {"reduce_concat", reduce.concat}};
}

Cells Cells::from_json(const weft::Json& json) {
  try {
    return checked({cell_from_json(json.at("normal"), json.at("normal_concat")),
                    cell_from_json(json.at("reduce"), json.at("reduce_concat"))});
  } catch (const weft::Json::exception& error) {
    throw weft::InvalidInput(std::string("not a DARTS genotype: ") + error.what());
  }
}

std::string Cells::to_text() const {
  return "Genotype(" + darts::to_text(normal, "normal") + ", " + darts::to_text(reduce, "reduce") + ")";
}

Cells Cells::from_text(std::string_view text) {
  weft::NotationReader reader(text,
                              "Genotype(normal=[('sep_conv_3x3', 0), ..], normal_concat=[2, ..], reduce=[..], "
                              "reduce_concat=[2, ..])");
  Cells cells;
  reader.expect("Genotype(");
  cells.normal = read_cell(reader, "normal");
  reader.expect(",");
  cells.reduce = read_cell(reader, "reduce");
  reader.expect(")");
  reader.expect_end();
  return checked(cells);
}

}  // namespace darts
