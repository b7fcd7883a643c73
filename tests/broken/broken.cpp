// A plugin with one fault, chosen when it is compiled: FAULT_<name> is defined. Without one it is a sound random
// search, written against weft/abi.h alone, which is what lets it break the rules of the layer above.

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "weft/abi.h"

#ifdef FAULT_undefined_symbol
extern "C" int nobody_defines_this();
#endif

#ifdef FAULT_needs_companions
extern "C" int test_outer();
#endif

namespace {

#ifdef FAULT_init_throws
struct Initialiser {
  Initialiser() { throw std::runtime_error("thrown while loading"); }
} initialiser;
#endif

__attribute__((constructor)) void initialise() {
#if defined(FAULT_init_aborts)
  std::abort();
#elif defined(FAULT_init_killed_once)
  const char* mark = std::getenv("WEFT_TEST_MARK");
  if (mark == nullptr || std::ifstream(mark)) return;
  std::ofstream(mark) << "killed\n";
  std::raise(SIGKILL);
#elif defined(FAULT_init_traps)
  __builtin_trap();
#elif defined(FAULT_init_hangs)
  for (;;) pause();
#elif defined(FAULT_init_speaks)
  if (write(3, "{}\n", 3) != 3) _exit(1);  // where a worker's and a probe's channel is
#elif defined(FAULT_init_exits)
  _exit(0);
#elif defined(FAULT_writes_to_stdout)
  std::printf("printed while loading\n");
#elif defined(FAULT_blocks_sigint)
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  std::signal(SIGINT, SIG_IGN);
#endif
}

void say(const weft_writer* writer, const std::string& text) {
  writer->write(writer->context, text.data(), text.size());
}

weft_text text(const std::string& string) { return {string.data(), string.size()}; }

struct Optimizer {
  weft_handle space{};
  weft_rng rng{};
};

// What the space's sampling hands over goes on to the host, with the fault of the day.
struct Passing {
  const weft_proposal_sink* out;
};

[[maybe_unused]] void crash() { std::raise(SIGSEGV); }

// Whether this is the first call of all processes.
[[maybe_unused]] bool first_time() {
  const char* mark = std::getenv("WEFT_TEST_MARK");
  if (mark == nullptr || std::ifstream(mark)) return false;
  std::ofstream(mark) << "crashed\n";
  return true;
}

[[maybe_unused]] void crash_once() {
  if (first_time()) crash();
}

void pass(void* context, const weft_genotype* genotype) {
  weft_proposal proposal{};
  proposal.size = sizeof(proposal);
  proposal.genotype = *genotype;
  proposal.parent = -1;
  [[maybe_unused]] int32_t decisions[64];
  [[maybe_unused]] std::string notes;
#if defined(FAULT_decision_out_of_range)
  std::memcpy(decisions, genotype->decisions, genotype->count * sizeof(int32_t));
  decisions[3] = 17;
  proposal.genotype.decisions = decisions;
#elif defined(FAULT_too_many_decisions)
  std::memcpy(decisions, genotype->decisions, genotype->count * sizeof(int32_t));
  decisions[genotype->count] = 0;
  proposal.genotype.decisions = decisions;
  ++proposal.genotype.count;
#elif defined(FAULT_foreign_genotype)
  notes = R"({"of": "another space"})";
  proposal.genotype = {nullptr, 0, text(notes)};
#elif defined(FAULT_parent_unknown)
  proposal.parent = 99;
#elif defined(FAULT_notes_no_json)
  notes = "these are not the notes you are looking for";
  proposal.notes = text(notes);
#elif defined(FAULT_notes_huge)
  notes = "\"" + std::string(100 << 20, 'x') + "\"";
  proposal.notes = text(notes);
#elif defined(FAULT_notes_deep)
  notes = std::string(1 << 20, '[') + std::string(1 << 20, ']');
  proposal.notes = text(notes);
#elif defined(FAULT_notes_invalid_utf8)
  notes = "\"\xff\xfe\"";
  proposal.notes = text(notes);
#elif defined(FAULT_fidelity_ill_typed)
  notes = R"({"epochs": "many"})";
  proposal.fidelity = text(notes);
#endif
  const weft_proposal_sink* out = static_cast<Passing*>(context)->out;
  out->receive(out->context, &proposal);
#ifdef FAULT_too_many_proposals
  for (int i = 0; i < 100; ++i) out->receive(out->context, &proposal);
#endif
}

weft_status create(const weft_context* context, void** instance, const weft_writer* error) {
#if defined(FAULT_create_throws)
  throw std::runtime_error("thrown by create");
#elif defined(FAULT_create_throws_int)
  throw 7;
#elif defined(FAULT_create_refuses)
  say(error, "refused in so many words");
  *instance = &instance;  // which is nothing that could be destroyed
  return WEFT_INVALID;
#elif defined(FAULT_create_huge_error)
  for (int i = 0; i < 200; ++i) say(error, std::string(1 << 20, 'e'));
  return WEFT_FAILED;
#elif defined(FAULT_create_no_instance)
  return WEFT_OK;
#elif defined(FAULT_needs_companions)
  if (test_outer() != 42) return WEFT_FAILED;
#endif
  auto* optimizer = new Optimizer;
  optimizer->rng = context->rng;
  const char role[] = "space";
  *instance = optimizer;
  return context->collaborator(context->host, {role, sizeof(role) - 1}, &optimizer->space, error);
}

weft_status ask(void* self, uint64_t capacity, const weft_proposal_sink* out, const weft_writer* error) {
#if defined(FAULT_ask_throws)
  throw std::runtime_error("thrown by ask");
#elif defined(FAULT_ask_throws_int)
  throw 7;
#elif defined(FAULT_ask_fails_silently)
  return WEFT_FAILED;
#elif defined(FAULT_ask_proposes_nothing)
  return WEFT_OK;
#elif defined(FAULT_ask_crashes)
  crash();
#elif defined(FAULT_ask_crashes_once)
  crash_once();
#elif defined(FAULT_ask_forgets)
  static int asked = 0;
  if (++asked == 3) crash_once();
#elif defined(FAULT_writes_to_stdout)
  std::printf("printed by ask\n");
  std::fflush(stdout);
#endif
  auto& optimizer = *static_cast<Optimizer*>(self);
  const auto* table = static_cast<const weft_space_1*>(optimizer.space.component->find_interface(WEFT_SPACE_1));
  Passing passing{out};
  const weft_genotype_sink sink{&passing, pass};
#ifdef FAULT_ask_forgets
  optimizer.rng.counter += static_cast<uint64_t>(getpid());
#endif
  for (uint64_t i = 0; i < capacity; ++i) {
    const weft_status status = table->sample(optimizer.space.instance, &optimizer.rng, &sink, error);
    if (status != WEFT_OK) return status;
  }
  return WEFT_OK;
}

weft_status tell(void*, const weft_result*, const weft_writer* error) {
#if defined(FAULT_tell_throws)
  throw std::runtime_error("thrown by tell");
#elif defined(FAULT_tell_fails)
  say(error, "this result is not to my liking");
  return WEFT_FAILED;
#endif
  (void)error;
  return WEFT_OK;
}

weft_status finished(void*, int32_t* out, const weft_writer*) {
  *out = 0;
  return WEFT_OK;
}

#if defined(FAULT_short_table)
constexpr uint64_t table_size = offsetof(weft_optimizer_1, tell);
#else
constexpr uint64_t table_size = sizeof(weft_optimizer_1);
#endif

const weft_optimizer_1 table = {table_size,
#ifdef FAULT_null_ask
                                nullptr,
#else
                                ask,
#endif
                                tell, finished};

// ---- an evaluator, for what happens in workers ----------------------------------------------------------------------

struct Log {
  void* host;
  void (*write)(void* host, int32_t level, weft_text message);
};

weft_status create_evaluator(const weft_context* context, void** instance, const weft_writer*) {
  static Log log;
  log = {context->host, context->log};
  *instance = &log;
  return WEFT_OK;
}

// What belongs to the host, in a worker: its channel, and its child's end.
constexpr int channel = 3;
[[maybe_unused]] void write_to_channel(const std::string& bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t count = write(channel, bytes.data() + at, bytes.size() - at);
    if (count <= 0) return;
    at += static_cast<std::size_t>(count);
  }
}

// Does what the fault says, once.
[[maybe_unused]] void misbehave() {
  if (!first_time()) return;
#if defined(FAULT_channel_closed)
  close(channel);
  for (;;) pause();
#elif defined(FAULT_channel_garbage)
  write_to_channel("{\"event\": \xff]\n");
  for (;;) pause();
#elif defined(FAULT_channel_members)
  write_to_channel("{\"event\": \"result\", \"state\": 7}\n");
  for (;;) pause();
#elif defined(FAULT_channel_flood)
  for (const std::string piece(1 << 20, 'x');;) write_to_channel(piece);
#elif defined(FAULT_output_flood)
  for (int i = 0; i < 32; ++i) std::printf("%s\n", std::string(1 << 20, 'x').c_str());
  std::printf("and the end of it");
#elif defined(FAULT_fork_lives_on)
  if (fork() == 0) {  // holds all descriptors of the worker
    std::ofstream(std::getenv("WEFT_TEST_MARK")) << getpid() << std::endl;
    for (;;) pause();
  }
  std::raise(SIGKILL);
#endif
}

weft_status evaluate([[maybe_unused]] void* self, const weft_request*, const weft_reporter* reporter,
                     const weft_writer* metrics, [[maybe_unused]] const weft_writer* error) {
  misbehave();
#if defined(FAULT_report_no_object)
  reporter->report(reporter->context, {"[7]", 3});
#elif defined(FAULT_report_without_epoch)
  reporter->report(reporter->context, {R"({"epoch": "first"})", 18});
#elif defined(FAULT_logs_from_threads)
  const Log log = *static_cast<Log*>(self);
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      const std::string words(300'000, 'w');  // more than a socket takes at once
      for (int line = 0; line < 20; ++line) log.write(log.host, 0, text(words));
    });
  }
  for (int epoch = 1; epoch <= 300; ++epoch) {
    const std::string report = R"({"epoch": )" + std::to_string(epoch) + "}";
    reporter->report(reporter->context, text(report));
  }
  for (std::thread& thread : threads) thread.join();
#endif
#if defined(FAULT_error_no_utf8)
  say(error, "the file caf\xe9 is closed");
  return WEFT_FAILED;
#elif defined(FAULT_last_words_no_utf8)
  std::fputs("caf\xe9\n", stderr);
  crash();
#elif defined(FAULT_evaluate_crashes)
  crash();
#elif defined(FAULT_evaluate_throws)
  throw std::runtime_error("thrown by evaluate");
#elif defined(FAULT_metrics_no_json)
  say(metrics, "accuracy: very good");
#elif defined(FAULT_metrics_nan)
  say(metrics, R"({"validation_accuracy": NaN})");
#elif defined(FAULT_metrics_text)
  say(metrics, R"({"validation_accuracy": "high"})");
#elif defined(FAULT_metrics_list)
  say(metrics, "[1, 2]");
#else
  say(metrics, R"({"validation_accuracy": 0.5})");
#endif
  return WEFT_OK;
}

const weft_evaluator_1 evaluator_table = {sizeof(weft_evaluator_1), evaluate};

// ---- a space and a data set that want another part before they are there --------------------------------------------

weft_status create_wanting(const weft_context* context, void**, const weft_writer* error, const std::string& role) {
  weft_handle found{};
  return context->collaborator(context->host, text(role), &found, error);
}

weft_status create_space(const weft_context* context, void** instance, const weft_writer* error) {
#ifdef FAULT_asks_for_itself
  return create_wanting(context, instance, error, "space");
#else
  return create_wanting(context, instance, error, "dataset");
#endif
}

weft_status create_dataset(const weft_context* context, void** instance, const weft_writer* error) {
  return create_wanting(context, instance, error, "space");
}

const void* find_interface(const char* id) {
  if (std::strcmp(id, WEFT_OPTIMIZER_1) == 0) return &table;
  if (std::strcmp(id, WEFT_EVALUATOR_1) == 0) return &evaluator_table;
  return nullptr;
}

const weft_component components[] = {
#ifdef FAULT_null_create
    {sizeof(weft_component), "optimizer", "broken", nullptr,
#else
    {sizeof(weft_component), "optimizer", "broken", create,
#endif
     [](void* instance) { delete static_cast<Optimizer*>(instance); }, find_interface},
    {sizeof(weft_component), "evaluator", "broken", create_evaluator, [](void*) {}, find_interface},
    {sizeof(weft_component), "space", "broken", create_space, [](void*) {}, find_interface},
    {sizeof(weft_component), "dataset", "broken", create_dataset, [](void*) {}, find_interface}};

struct Descriptor {
  weft_descriptor known;
  char tail[64];  // of a later minor version
};

}  // namespace

#ifdef FAULT_hidden_descriptor
#define VISIBLE __attribute__((visibility("hidden")))
#else
#define VISIBLE __attribute__((visibility("default")))
#endif
#ifdef FAULT_wrong_magic
#define MAGIC "NOTWEFT"
#else
#define MAGIC WEFT_MAGIC
#endif
#ifdef FAULT_major_2
#define MAJOR 2
#else
#define MAJOR 1
#endif
#ifdef FAULT_minor_newer
#define MINOR 9
#define STRUCT_SIZE sizeof(Descriptor)
#define STAMP_ABI "1.9"
#else
#define MINOR 0
#define STRUCT_SIZE sizeof(weft_descriptor)
#define STAMP_ABI "1.0"
#endif
#ifdef FAULT_tiny_descriptor
#undef STRUCT_SIZE
#define STRUCT_SIZE 16
#endif
#if defined(FAULT_absurd_count)
#define COUNT (uint64_t{1} << 60)
#else
#define COUNT 4
#endif
#if defined(FAULT_absurd_stride)
#define STRIDE 8
#elif defined(FAULT_huge_stride)
#define STRIDE (uint64_t{1} << 40)
#else
#define STRIDE sizeof(weft_component)
#endif
#ifdef FAULT_null_components
#define COMPONENTS nullptr
#else
#define COMPONENTS components
#endif
#if defined(FAULT_torch_tag)
#define TORCH_TAG "weft-1.0.0/libtorch-0.4"
#elif defined(FAULT_torch_needed)
#define TORCH_TAG WEFT_TORCH_TAG
#else
#define TORCH_TAG ""
#endif

extern "C" {
VISIBLE extern const Descriptor weft_plugin;
}
const Descriptor weft_plugin = {{MAGIC, STRUCT_SIZE, MAJOR, MINOR, "test", TORCH_TAG, COMPONENTS, COUNT, STRIDE},
                                "a tail that no host knows"};

#ifndef FAULT_no_stamp
__attribute__((section(".weft.stamp"), used, retain)) static const char stamp[] =
    "weft abi=" STAMP_ABI " build=test torch=" TORCH_TAG;
#endif

#ifdef FAULT_undefined_symbol
int use() { return nobody_defines_this(); }
extern "C" VISIBLE int (*const weft_test_use)();
int (*const weft_test_use)() = use;
#endif
#if defined(FAULT_needs_torch) || defined(FAULT_torch_needed)
extern "C" void other_libtorch();
extern "C" VISIBLE void (*const weft_test_use)();
void (*const weft_test_use)() = other_libtorch;
#endif
#ifdef FAULT_exports_more
namespace acme {
VISIBLE int of_no_concern_to_others(int number) { return number; }
}  // namespace acme
#endif
