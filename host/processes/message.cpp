#include "host/processes/message.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

#include "weft/error.hpp"

namespace weft::host {
namespace {

using Test = bool (Json::*)() const noexcept;

struct Member {
  std::string_view event, name;
  Test is;
  const char* what;
};

constexpr std::array<Member, 12> members = {{{"log", "level", &Json::is_number_integer, "an integer"},
                                             {"log", "text", &Json::is_string, "a text"},
                                             {"error", "text", &Json::is_string, "a text"},
                                             {"error", "invalid", &Json::is_boolean, "true or false"},
                                             {"described", "task", &Json::is_object, "an object"},
                                             {"described", "fingerprint", &Json::is_string, "a text"},
                                             {"described", "test", &Json::is_string, "a text"},
                                             {"report", "report", &Json::is_object, "an object"},
                                             {"result", "state", &Json::is_string, "a text"},
                                             {"result", "metrics", &Json::is_object, "an object"},
                                             {"result", "reason", &Json::is_string, "a text"},
                                             {"answer", "event", &Json::is_string, "a text"}}};

// How a trial may come out of a worker.
constexpr std::array<std::string_view, 4> endings = {"COMPLETE", "PRUNED", "PAUSED", "FAIL"};

}  // namespace

std::string fault_of(const Json& message) {
  if (!message.is_object() || !message.contains("event") || !message.at("event").is_string())
    return "a message is an object with a text \"event\"";
  const std::string event = message.at("event");
  bool known = false;
  for (const Member& member : members) {
    if (event != member.event) continue;
    known = true;
    const auto found = message.find(member.name);
    if (found == message.end() || !((*found).*member.is)())
      return fmt::format("\"{}\" of \"{}\" must be {}", member.name, event, member.what);
  }
  if (!known) return fmt::format("\"{}\" is no event", event.substr(0, 40));
  if (event == "report" && !message.at("report").value("epoch", Json()).is_number_integer())
    return "\"epoch\" of \"report\" must be an integer";
  if (event == "result" &&
      std::find(endings.begin(), endings.end(), message.at("state").get<std::string>()) == endings.end())
    return "\"state\" of \"result\" must be COMPLETE, PRUNED, PAUSED or FAIL";
  return {};
}

void take_log(const Json& message) {
  const int level = std::clamp(message.at("level").get<int>(), 0, static_cast<int>(spdlog::level::critical));
  spdlog::log(static_cast<spdlog::level::level_enum>(level), "{}", message.at("text").get<std::string>());
}

void throw_error(const Json& message) {
  const std::string text = message.at("text");
  if (message.at("invalid").get<bool>()) throw InvalidInput(text);
  throw Error(text);
}

std::string valid_utf8(std::string_view bytes) {
  return Json::parse(Json(bytes).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
}

}  // namespace weft::host
