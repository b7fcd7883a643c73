// Helpers of both sides of the boundary: borrowed text, sinks, and the rule that no exception crosses.
#pragma once

#include <cstddef>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "weft/abi.h"
#include "weft/error.hpp"
#include "weft/genotype.hpp"
#include "weft/json.hpp"

namespace weft::detail {

inline weft_text text(std::string_view view) { return {view.data(), view.size()}; }
inline std::string_view view(weft_text text) {
  return text.size == 0 ? std::string_view() : std::string_view(text.data, text.size);
}

inline void write(const weft_writer* writer, std::string_view text) {
  if (writer != nullptr && writer->write != nullptr) writer->write(writer->context, text.data(), text.size());
}

// The most that one call may hand over as text, and how deep its JSON may be nested: more is a mistake or an attack,
// and would cost the memory or the stack of who reads it.
inline constexpr std::size_t most_text = std::size_t{64} << 20;
inline constexpr int deepest_nesting = 256;

// Collects what the other side writes. Reading it throws Error if that was more than `most_text`.
class StringWriter {
 public:
  operator const weft_writer*() const { return &writer_; }
  const std::string& text() const {
    if (overflown_) throw Error("wrote more than " + std::to_string(most_text >> 20) + " MiB of text");
    return text_;
  }
  std::string take() {
    text();
    return std::move(text_);
  }

  StringWriter() = default;
  StringWriter(const StringWriter&) = delete;
  StringWriter& operator=(const StringWriter&) = delete;

 private:
  static void append(void* context, const char* data, std::uint64_t size) {
    auto& self = *static_cast<StringWriter*>(context);
    self.overflown_ = self.overflown_ || size > most_text - self.text_.size();
    if (!self.overflown_) self.text_.append(data, size);
  }
  std::string text_;
  bool overflown_ = false;
  weft_writer writer_{this, &append};
};

// A C callback (context + function pointer) around a C++ callable. What the callable throws must not pass through the
// other side's frames: it is kept until `finish`, which the caller calls when the other side has returned.
template <typename Sink, typename Record, typename Function>
class Receiver {
 public:
  explicit Receiver(Function function) : function_(std::move(function)) {}
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;

  operator const Sink*() const { return &sink_; }
  void finish() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  static void receive(void* context, const Record* record) noexcept {
    auto& self = *static_cast<Receiver*>(context);
    if (self.failure_) return;
    try {
      self.function_(*record);
    } catch (...) {
      self.failure_ = std::current_exception();
    }
  }

  Function function_;
  std::exception_ptr failure_;
  Sink sink_{this, &receive};
};

template <typename Sink, typename Record, typename Function>
Receiver<Sink, Record, Function> make_sink(Function function) {
  return Receiver<Sink, Record, Function>(std::move(function));
}

// The words of an error, without the backtrace that LibTorch appends to its own.
inline std::string_view words_of(const std::exception& error) {
  const std::string_view text = error.what();
  return text.substr(0, text.find("\nException raised from "));
}

// Runs `body` on the callee's side: whatever it throws becomes a status and a text.
template <typename Body>
weft_status guard(const weft_writer* error, Body&& body) noexcept {
  try {
    std::forward<Body>(body)();
    return WEFT_OK;
  } catch (const InvalidInput& caught) {
    write(error, words_of(caught));
    return WEFT_INVALID;
  } catch (const std::bad_alloc&) {
    write(error, "out of memory");
  } catch (const std::exception& caught) {
    write(error, words_of(caught));
  } catch (...) {
    write(error, "an exception that is not a std::exception");
  }
  return WEFT_FAILED;
}

// The caller's side: a status becomes an exception again.
inline void check(weft_status status, const StringWriter& error) {
  if (status == WEFT_OK) return;
  const std::string text = error.text().empty() ? "failed without saying why" : error.text();
  if (status == WEFT_INVALID) throw InvalidInput(text);
  throw Error(text);
}

// True when a table, as the other side knew it, reaches up to and including `member`, and the member is set.
template <typename Table, typename Member>
bool has(const Table* table, Member Table::*member) {
  const auto offset = reinterpret_cast<const char*>(&(table->*member)) - reinterpret_cast<const char*>(table);
  return table->size >= static_cast<std::uint64_t>(offset) + sizeof(Member) && table->*member != nullptr;
}

// That member, to be called at once. Throws Error where the other side does not have it.
template <typename Table, typename Member>
Member need(const Table* table, Member Table::*member) {
  if (table == nullptr || !has(table, member)) {
    throw Error(
        "the plugin lacks a function that its consumer relies on; the consumer's manifest should require the "
        "capability");
  }
  return table->*member;
}

// Throws Error for text that would be too large or too deep, as JSON, to be handled safely.
inline void check_bounds(std::string_view text) {
  if (text.size() > most_text) throw Error(std::to_string(text.size() >> 20) + " MiB of JSON");
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '\\') {
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == '[' || c == '{')) {
      if (++depth > deepest_nesting)
        throw Error("JSON nested deeper than " + std::to_string(deepest_nesting) + " levels");
    } else if (!quoted && (c == ']' || c == '}')) {
      --depth;
    }
  }
}

// Throws Error for text that is no JSON, and as check_bounds().
Json parse_json(std::string_view text);
#ifndef WEFT_DECLARED_ONLY
WEFT_INLINE Json parse_json(std::string_view text) {
  check_bounds(text);
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {  // also numbers beyond all bounds
    throw Error(std::string("text that is no JSON: ") + error.what());
  }
}
#endif
inline Json parse_json(weft_text text) { return text.size == 0 ? Json() : parse_json(view(text)); }
inline std::string dump(const Json& json) { return json.is_null() ? std::string() : json.dump(); }

// A genotype lent across the boundary; keeps the opaque text alive.
class LentGenotype {
 public:
  explicit LentGenotype(const Genotype& genotype) : opaque_(dump(genotype.opaque)) {
    lent_ = {genotype.decisions.data(), genotype.decisions.size(), text(opaque_)};
  }
  LentGenotype(const LentGenotype&) = delete;
  LentGenotype& operator=(const LentGenotype&) = delete;
  operator const weft_genotype*() const { return &lent_; }
  const weft_genotype& operator*() const { return lent_; }

 private:
  std::string opaque_;
  weft_genotype lent_;
};

inline Genotype to_genotype(const weft_genotype& lent) {
  Genotype genotype(std::vector<std::int32_t>(lent.decisions, lent.decisions + lent.count));
  genotype.opaque = parse_json(lent.opaque);
  return genotype;
}

// Calls `function(sink, error)` and returns the one genotype it hands over.
template <typename Function>
Genotype receive_genotype(Function&& function) {
  Genotype genotype;
  bool received = false;
  const auto sink = make_sink<weft_genotype_sink, weft_genotype>([&](const weft_genotype& lent) {
    genotype = to_genotype(lent);
    received = true;
  });
  StringWriter error;
  check(function(static_cast<const weft_genotype_sink*>(sink), static_cast<const weft_writer*>(error)), error);
  sink.finish();
  if (!received) throw Error("succeeded without handing over a genotype");
  return genotype;
}

template <typename T>
T& self(void* instance) {
  return *static_cast<T*>(instance);
}

}  // namespace weft::detail
