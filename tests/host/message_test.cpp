// What a worker may send, and what is made of the rest.

#include "host/processes/message.hpp"

#include <sys/socket.h>

#include <thread>

#include "host/processes/channel.hpp"
#include "host/processes/tail.hpp"
#include "tests/catch.hpp"
#include "weft/error.hpp"

using namespace weft::host;
using weft::Json;

TEST_CASE("messages of a worker are checked before they are read") {
  const char* sound[] = {R"({"event": "log", "level": 2, "text": "a"})",
                         R"({"event": "error", "invalid": true, "text": "a"})",
                         R"({"event": "described", "task": {}, "fingerprint": "", "test": ""})",
                         R"({"event": "report", "report": {"epoch": 3, "loss": 1.5}})",
                         R"({"event": "result", "state": "FAIL", "metrics": {}, "reason": "a"})",
                         R"({"event": "answer", "proposals": []})"};
  for (const char* text : sound) {
    INFO(text);
    const Json message = Json::parse(text);
    CHECK(fault_of(message).empty());
    for (const auto& [name, value] : message.items()) {
      if (message.at("event") == "answer" && name != "event") continue;  // the caller knows what it asked for
      Json broken = message;
      broken.erase(name);
      CHECK_FALSE(fault_of(broken).empty());
      broken[name] = Json::array();
      CHECK_FALSE(fault_of(broken).empty());
    }
  }
  for (const char* text :
       {"7", "[]", "null", R"({"event": "surprise"})", R"({"event": "report", "report": {"epoch": 1.5}})",
        R"({"event": "result", "state": "RUNNING", "metrics": {}, "reason": ""})"}) {
    INFO(text);
    CHECK_FALSE(fault_of(Json::parse(text)).empty());
  }
}

TEST_CASE("a log line of any level is taken") {
  for (const char* level : {"-5", "99", "9223372036854775807"})
    CHECK_NOTHROW(take_log(Json::parse(std::string(R"({"event": "log", "text": "a", "level": )") + level + "}")));
}

TEST_CASE("foreign bytes become text that JSON takes") {
  CHECK(valid_utf8("gr\xc3\xbc\xc3\x9f dich") == "gr\xc3\xbc\xc3\x9f dich");
  CHECK(valid_utf8("cut \xc3") == "cut \xef\xbf\xbd");
  CHECK_NOTHROW(Json(valid_utf8("\xff\xfe\0 x")).dump());
}

TEST_CASE("of a text without end the end is kept, and how much is not") {
  Tail tail;
  tail.append("short");
  CHECK(tail.text() == "short");
  for (int i = 0; i < 100; ++i) tail.append(std::string(5000, static_cast<char>('a' + i % 26)));
  const std::string text = tail.text();
  const std::string first = "[" + std::to_string(500'005 - Tail::longest) + " bytes before this were not kept]\n";
  CHECK(text.substr(0, first.size()) == first);
  CHECK(text.size() == first.size() + Tail::longest);
  CHECK(text.back() == 'a' + 99 % 26);
  tail.clear();
  CHECK(tail.empty());
}

namespace {

struct Pair {
  Pair() : Pair(std::array<int, 2>{}) {}
  Channel one, other;

 private:
  explicit Pair(std::array<int, 2> ends)
      : one((socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), ends[0])), other(ends[1]) {}
};

}  // namespace

TEST_CASE("a channel hands over whole messages, from several threads, however they are cut") {
  Pair pair;
  const std::string long_text(300'000, 'x');
  std::vector<std::thread> threads;
  for (int sender = 0; sender < 3; ++sender) {
    threads.emplace_back([&, sender] {
      for (int i = 0; i < 10; ++i) pair.one.send({{"sender", sender}, {"i", i}, {"text", long_text}});
    });
  }
  int next[3] = {};
  for (int i = 0; i < 30; ++i) {
    const Json message = pair.other.receive().value();
    CHECK(message.at("i") == next[message.at("sender").get<int>()]++);
    CHECK(message.at("text") == long_text);
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_CASE("a channel does not wait for a reader who does not read, and loses nothing") {
  Pair pair;
  const std::string long_text(1'000'000, 'x');
  for (int i = 0; i < 5; ++i) pair.one.post({{"i", i}, {"text", long_text}});
  CHECK(pair.one.has_unsent());
  for (int i = 0; i < 5;) {
    pair.one.deliver();
    pair.other.read_available();
    while (const auto message = pair.other.next_buffered()) CHECK(message->at("i") == i++);
  }
  CHECK_FALSE(pair.one.has_unsent());
  CHECK(pair.other.read_available() == Channel::Arrival::none);
}

TEST_CASE("a line that is no message, or has no end, is an error of its sender") {
  const auto says = [&](const std::string& bytes) {
    Pair fresh;
    for (std::size_t at = 0; at < bytes.size();) {
      at += static_cast<std::size_t>(
          ::send(fresh.one.descriptor(), bytes.data() + at, std::min<std::size_t>(bytes.size() - at, 60'000), 0));
      fresh.other.read_available();
    }
    try {
      while (!fresh.other.next_buffered()) REQUIRE(fresh.other.read_available() == Channel::Arrival::some);
    } catch (const weft::Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  CHECK(says("{}\n") == "accepted");
  CHECK_THAT(says("{\n"), ContainsSubstring("no JSON"));
  CHECK_THAT(says("\"\xff\"\n"), ContainsSubstring("no JSON"));
  CHECK_THAT(says(std::string(1000, '[') + std::string(1000, ']') + "\n"), ContainsSubstring("nested deeper"));
  CHECK_THAT(says(std::string((64 << 20) + 1, 'x')), ContainsSubstring("a line of more than 64 MiB"));
}
