// Comma-separated values as in RFC 4180: a quoted field may hold commas, line breaks and doubled quotes.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "weft/error.hpp"

class Csv {
 public:
  // `path` is for messages.
  Csv(std::string text, std::string path) : text_(std::move(text)), path_(std::move(path)) {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;  // byte order mark
  }

  // The next record, empty lines left out; false at the end.
  bool next(std::vector<std::string>& fields) {
    while (at_ < text_.size() && (text_[at_] == '\n' || text_[at_] == '\r')) line_ += text_[at_++] == '\n' ? 1 : 0;
    if (at_ >= text_.size()) return false;
    record_line_ = line_;
    std::size_t count = 0;
    do {
      if (count == fields.size()) fields.emplace_back();
      read(fields[count++]);
    } while (at_ < text_.size() && text_[at_] == ',' && ++at_);
    fields.resize(count);
    return true;
  }

  // "table.csv:7", where the record begins.
  std::string place() const { return path_ + ":" + std::to_string(record_line_); }

 private:
  void read(std::string& field) {
    field.clear();
    if (at_ < text_.size() && text_[at_] == '"') {
      for (++at_;; ++at_) {
        if (at_ >= text_.size()) throw weft::InvalidInput(place() + ": a quoted field does not end");
        if (text_[at_] == '"' && (++at_ >= text_.size() || text_[at_] != '"')) break;
        if (text_[at_] == '\n') ++line_;
        field += text_[at_];
      }
      if (at_ < text_.size() && text_.find_first_of(",\r\n", at_) != at_) {
        throw weft::InvalidInput(place() + ": text follows the closing quote of the field \"" + field + "\"");
      }
    } else {
      const std::size_t end = std::min(text_.find_first_of(",\r\n", at_), text_.size());
      field.assign(text_, at_, end - at_);
      at_ = end;
    }
  }

  std::string text_;
  std::string path_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
  std::size_t record_line_ = 1;
};
