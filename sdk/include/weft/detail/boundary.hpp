// Helpers of both sides of the boundary: borrowed text, sinks, and the rule that no exception crosses.
#pragma once

#include <cstddef>
#include <exception>
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

// Collects what the other side writes.
class StringWriter {
 public:
  operator const weft_writer*() const { return &writer_; }
  const std::string& text() const { return text_; }
  std::string take() { return std::move(text_); }

  StringWriter() = default;
  StringWriter(const StringWriter&) = delete;
  StringWriter& operator=(const StringWriter&) = delete;

 private:
  static void append(void* context, const char* data, std::uint64_t size) {
    static_cast<StringWriter*>(context)->text_.append(data, size);
  }
  std::string text_;
  weft_writer writer_{this, &append};
};

// A C callback (context + function pointer) around a C++ callable that outlives the call.
template <typename Sink, typename Record, typename Function>
Sink make_sink(Function& function) {
  return {const_cast<void*>(static_cast<const void*>(&function)), [](void* context, const Record* record) {
            (*static_cast<Function*>(context))(*record);
          }};
}

// Runs `body` on the callee's side: whatever it throws becomes a status and a text.
template <typename Body>
weft_status guard(const weft_writer* error, Body&& body) noexcept {
  try {
    std::forward<Body>(body)();
    return WEFT_OK;
  } catch (const InvalidInput& caught) {
    write(error, caught.what());
    return WEFT_INVALID;
  } catch (const std::exception& caught) {
    write(error, caught.what());
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

inline Json parse_json(weft_text text) { return text.size == 0 ? Json() : Json::parse(view(text)); }
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
  const auto receive = [&](const weft_genotype& lent) {
    genotype = to_genotype(lent);
    received = true;
  };
  const auto sink = make_sink<weft_genotype_sink, weft_genotype>(receive);
  StringWriter error;
  check(function(&sink, static_cast<const weft_writer*>(error)), error);
  if (!received) throw Error("succeeded without handing over a genotype");
  return genotype;
}

template <typename T>
T& self(void* instance) {
  return *static_cast<T*>(instance);
}

}  // namespace weft::detail
