#include "tests/fuzz/targets.hpp"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "host/pipelines/pipeline.hpp"
#include "host/plugins/catalogue.hpp"
#include "host/plugins/dialect.hpp"
#include "host/plugins/elf.hpp"
#include "host/plugins/schema.hpp"
#include "host/plugins/strict_json.hpp"
#include "host/processes/channel.hpp"
#include "host/processes/message.hpp"
#include "host/study/journal.hpp"
#include "host/study/trials.hpp"
#include "weft/error.hpp"

namespace weft::fuzz {
namespace {

namespace fs = std::filesystem;
using namespace weft::host;

const fs::path source = WEFT_TEST_SOURCE;

// A file in memory.
class Bytes {
 public:
  explicit Bytes(std::string_view bytes) : descriptor_(memfd_create("bytes", MFD_CLOEXEC)) {
    if (descriptor_ < 0 || write(descriptor_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
      throw std::logic_error("no memory for a file");
  }
  ~Bytes() { close(descriptor_); }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

// A refusal is what is wanted; any other exception is a message that nobody understands, and a finding.
template <typename Body>
void expect_clear_end(const Body& body) {
  try {
    body();
  } catch (const Error&) {
  } catch (const DamagedElf&) {
  }
}

}  // namespace

void manifest(std::string_view bytes) {
  static const Json schema = read_json(source / "manifests/schemas/plugin.json");
  const Bytes file(bytes);
  expect_clear_end([&] { Manifest::read(file.path(), schema); });
}

void pipeline(std::string_view bytes) {
  static const Catalogue catalogue = Catalogue::discover({source / "plugins"});
  const Bytes file(bytes);
  expect_clear_end([&] { Pipeline::load(file.path(), {}, catalogue); });
  expect_clear_end([&] { Pipeline::load(file.path(), {.profile = "laptop", .settings = {"/a/0/b=1"}}, catalogue); });
}

void setting(std::string_view bytes) {
  static const Catalogue catalogue = Catalogue::discover({source / "plugins"});
  static const std::string file = source / "manifests/pipelines/nas_bench_201_regularized_evolution.json";
  Overrides overrides;
  std::istringstream lines{std::string(bytes)};
  for (std::string line; std::getline(lines, line);) overrides.settings.push_back(line);
  expect_clear_end([&] { Pipeline::load(file, overrides, catalogue); });
}

void parameters(std::string_view bytes) {
  const std::size_t end = std::min(bytes.find('\n'), bytes.size());
  expect_clear_end([&] {
    const Json schema = read_strictly(bytes.substr(0, end));
    unfolded(schema, "/parameters");
    Json args = read_strictly(bytes.substr(end));
    fill_defaults(args, schema);
    validate(args, schema, "pipeline.json", "/space/args");
  });
}

void elf(std::string_view bytes) {
  expect_clear_end([&] { read_elf(bytes); });
}

void journal(std::string_view bytes) {
  // SQLite wants a real file, beside which it puts others.
  static const fs::path file = "/dev/shm/weft-fuzz-" + std::to_string(getpid()) + ".db";
  const auto remove = [] {
    for (const char* suffix : {"", "-wal", "-shm", "-journal"}) fs::remove(file.string() + suffix);
  };
  remove();
  expect_clear_end([&] {
    if (!bytes.empty() && bytes.front() == 'D') {
      std::ofstream(file, std::ios::binary) << bytes.substr(1);
    } else {
      Journal::create(file, Json::object());
      Journal journal(file, Journal::Mode::append);
      std::istringstream lines{std::string(bytes)};
      for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string kind, body;
        std::int64_t trial = -1;
        words >> kind >> trial;
        std::getline(words, body);
        journal.append(0.0, kind, trial, body);
      }
      journal.commit();
    }
    Trials trials;
    Journal(file, Journal::Mode::read).for_each([&](const Journal::Event& event) { trials.apply(event); });
    trials.best(3);
  });
  remove();
}

void messages(std::string_view bytes) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) throw std::logic_error("no sockets");
  Channel channel(ends[0]);
  std::thread worker([&] {
    send(ends[1], bytes.data(), bytes.size(), MSG_NOSIGNAL);
    close(ends[1]);
  });
  const auto take_all = [&] {
    while (const std::optional<Json> message = channel.next_buffered()) fault_of(*message);
  };
  expect_clear_end([&] {
    while (channel.read_available() != Channel::Arrival::end) take_all();
  });
  worker.join();
}

}  // namespace weft::fuzz
