/* The binary contract of Weft's stable tier: everything that crosses a plugin's library boundary.
 *
 * Plain C, fixed-width integers, append-only. A plugin exports one data symbol, `weft_plugin`. The host reads it
 * after checking magic, struct_size and abi_major, and calls a member of a table only if the table's `size` covers
 * it and it is not null. Every table and every record that may grow starts with its own size in bytes.
 *
 * Text is borrowed for the duration of a call: UTF-8, not terminated. Results leave through writers and sinks,
 * which copy what they are given before they return. No exception may cross any of these functions: a function
 * that can fail returns a status and writes what went wrong, in words, to `error`.
 *
 * Threads: an instance is used by one thread at a time; different instances may be used by different threads.
 * The C++ layer (weft/plugin.hpp and the noun headers) turns all of this into ordinary classes; other languages find
 * what they need in docs/other-languages.md, and in C two things at the end of this file: the random stream
 * (weft_rng_next and its kind) and the export line, WEFT_PLUGIN_C.
 */
#ifndef WEFT_ABI_H
#define WEFT_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEFT_MAGIC "WEFTPLG" /* eight bytes with the terminator */
#define WEFT_ABI_MAJOR 1
#define WEFT_ABI_MINOR 1

/* The least version of a host that a plugin can do with: what its manifest's `abi` and its stamp state. Whatever a
 * later minor version appended is found out by size, so that only a plugin that cannot do without it states that
 * version. */
#ifndef WEFT_PLUGIN_ABI
#define WEFT_PLUGIN_ABI "1.0"
#endif

typedef int32_t weft_status;
enum {
  WEFT_OK = 0,
  WEFT_INVALID = 1, /* the caller gave something unusable: configuration, notation, genotype */
  WEFT_FAILED = 2   /* anything else */
};

typedef struct weft_text {
  const char* data;
  uint64_t size;
} weft_text;

/* Receives text in one or more pieces. */
typedef struct weft_writer {
  void* context;
  void (*write)(void* context, const char* data, uint64_t size);
} weft_writer;

/* State of a counter-based random stream (see weft/rng.hpp): draws advance `counter` only. */
typedef struct weft_rng {
  uint64_t key;
  uint64_t stream;
  uint64_t counter;
} weft_rng;

/* A list of decisions, or (count 0, opaque not empty) JSON that only its space understands. */
typedef struct weft_genotype {
  const int32_t* decisions;
  uint64_t count;
  weft_text opaque;
} weft_genotype;

typedef struct weft_genotype_sink {
  void* context;
  void (*receive)(void* context, const weft_genotype* genotype);
} weft_genotype_sink;

/* ---- components ------------------------------------------------------------------------------------------- */

struct weft_context;

/* One thing a library offers. Strings and tables live as long as the library, which is never unloaded. */
typedef struct weft_component {
  uint64_t size;
  const char* kind; /* "space", "optimizer", ... */
  const char* name; /* unique within its kind */
  weft_status (*create)(const struct weft_context* context, void** instance, const weft_writer* error);
  void (*destroy)(void* instance);
  /* The function table of an interface such as "weft.space/1"; null when the component does not have it. */
  const void* (*find_interface)(const char* id);
} weft_component;

typedef struct weft_handle {
  const weft_component* component;
  void* instance;
} weft_handle;

/* What an instance is created with. The texts are borrowed for the call, `configuration` and `study` are JSON; `host`
 * and the two functions stay valid until the instance is destroyed. */
typedef struct weft_context {
  uint64_t size;
  weft_text configuration; /* validated against the manifest's `parameters`, defaults filled in */
  weft_text study; /* {"task": .., "objectives": [..], "budget": {..}, "phase": "search" | "final", "slots": n} */
  weft_rng rng;    /* this instance's own stream */
  void* host;
  /* 0 debug, 1 info, 2 warning, 3 error. May be called by any thread. */
  void (*log)(void* host, int32_t level, weft_text message);
  /* Another component of the pipeline by its role ("space", "dataset"); owned by the host, outlives the instance. */
  weft_status (*collaborator)(void* host, weft_text role, weft_handle* found, const weft_writer* error);
  /* Since 1.1. Absolute: where the manifest lies, and the plugin's data files beside it. */
  weft_text folder;
  /* Since 1.1. Makes a plugin of this kind for the asking one, which gives it back by `release`, before its own end.
   * `use` is JSON: {"name", "args"}, or the plugin's name as a text, whose args are then those members of the JSON object
   * `around` that its manifest knows. In both defaults are filled in, and what the manifest refuses is WEFT_INVALID. Of
   * the thread alone that calls the instance. */
  weft_status (*make)(void* host, weft_text kind, weft_text use, weft_text around, weft_handle* made,
                      const weft_writer* error);
  void (*release)(void* host, weft_handle made);
  /* Since 1.1. The plugin of this kind and name that all share, made without args at its first use; it lives as long as
   * the process, and may be asked for whenever any instance lives. Of kinds that are rules alone: "operation", "module".
   * WEFT_INVALID where there is none. */
  weft_status (*shared)(weft_text kind, weft_text name, weft_handle* found, const weft_writer* error);
} weft_context;

typedef struct weft_descriptor {
  char magic[8];
  uint32_t struct_size;
  uint16_t abi_major;
  uint16_t abi_minor;
  const char* build_tag; /* compiler and standard library; informative for the stable tier */
  const char* torch_tag; /* "" for the stable tier; must equal the host's for the torch tier */
  const weft_component* components;
  uint64_t component_count;
  uint64_t component_stride; /* sizeof(weft_component) as the plugin knew it */
} weft_descriptor;

/* ---- space ------------------------------------------------------------------------------------------------ */

#define WEFT_SPACE_1 "weft.space/1"
typedef struct weft_space_1 {
  uint64_t size;
  weft_status (*sample)(void* self, weft_rng* rng, const weft_genotype_sink* out, const weft_writer* error);
  /* Writes {"architecture": .., "recipe": ..}. */
  weft_status (*decode)(void* self, const weft_genotype* genotype, const weft_writer* out, const weft_writer* error);
  weft_status (*notation)(void* self, const weft_genotype* genotype, const weft_writer* out, const weft_writer* error);
  weft_status (*parse)(void* self, weft_text notation, const weft_genotype_sink* out, const weft_writer* error);
} weft_space_1;

enum { WEFT_CATEGORICAL = 0, WEFT_ORDINAL = 1, WEFT_REFERENCE = 2 };
#define WEFT_NO_STEP (-1)

typedef struct weft_decision {
  uint64_t size;
  weft_text name;
  weft_text group;
  int32_t kind;
  int32_t step;
  const weft_text* options;
  uint64_t option_count;
  /* Since 1.1. Of a reference: for each option the `step` of the decisions that it names, below this decision's, or
   * WEFT_NO_STEP. Null: not said. */
  const int32_t* named_steps;
} weft_decision;

typedef struct weft_decision_sink {
  void* context;
  void (*receive)(void* context, const weft_decision* decision);
} weft_decision_sink;

#define WEFT_DECISIONS_1 "weft.space.decisions/1"
typedef struct weft_decisions_1 {
  uint64_t size;
  /* Calls `out` once, or not at all when nothing is left to decide. */
  weft_status (*next)(void* self, const int32_t* taken, uint64_t count, const weft_decision_sink* out,
                      const weft_writer* error);
  weft_status (*complete)(void* self, const int32_t* taken, uint64_t count, int32_t* out, const weft_writer* error);
  weft_status (*state)(void* self, const int32_t* taken, uint64_t count, const weft_writer* out,
                       const weft_writer* error);
} weft_decisions_1;

#define WEFT_MUTATION_1 "weft.space.mutation/1"
typedef struct weft_mutation_1 {
  uint64_t size;
  weft_status (*mutate)(void* self, const weft_genotype* parent, weft_rng* rng, const weft_genotype_sink* out,
                        const weft_writer* error);
} weft_mutation_1;

#define WEFT_CROSSOVER_1 "weft.space.crossover/1"
typedef struct weft_crossover_1 {
  uint64_t size;
  weft_status (*cross)(void* self, const weft_genotype* first, const weft_genotype* second, weft_rng* rng,
                       const weft_genotype_sink* out, const weft_writer* error);
} weft_crossover_1;

/* Since 1.1. Changes of a genotype that say how the weights of the child follow from its parent's. A morph is a JSON
 * object with a text "morph", its name; its other members say where and how. */
#define WEFT_MORPHISMS_1 "weft.space.morphisms/1"
typedef struct weft_morphisms_1 {
  uint64_t size;
  /* Writes the list of what can be done to it, always in the same order. */
  weft_status (*morphs)(void* self, const weft_genotype* parent, const weft_writer* out, const weft_writer* error);
  /* Writes one that can be done, as the space draws it; nothing at all if there is none. */
  weft_status (*draw)(void* self, const weft_genotype* parent, weft_rng* rng, const weft_writer* out,
                      const weft_writer* error);
  /* Hands over the child, and writes the transfer (manifests/schemas/weight_transfer.json). WEFT_INVALID where the
   * morph is not known or cannot be done there, with the reason. */
  weft_status (*morph)(void* self, const weft_genotype* parent, weft_text morph, weft_rng* rng,
                       const weft_genotype_sink* child, const weft_writer* transfer, const weft_writer* error);
} weft_morphisms_1;

/* Since 1.1. All architectures of the space in one network. */
#define WEFT_SUPERNET_1 "weft.space.supernet/1"
typedef struct weft_supernet_1 {
  uint64_t size;
  /* Writes the architecture, in which "choice" nodes hold the candidates of a decision. */
  weft_status (*supernet)(void* self, const weft_writer* out, const weft_writer* error);
  /* Writes {decision: [option, ..], ..}: for each decision of the supernet the options that the genotype has. */
  weft_status (*path)(void* self, const weft_genotype* genotype, const weft_writer* out, const weft_writer* error);
} weft_supernet_1;

/* Since 1.1. The decisions of the supernet may be weighed independently of each other. */
#define WEFT_RELAXATION_1 "weft.space.relaxation/1"
typedef struct weft_relaxation_1 {
  uint64_t size;
  /* `weights` is {decision: [weight of each option, ..], ..}, with all decisions of the supernet. Hands over the
   * genotype that they mean. */
  weft_status (*derive)(void* self, weft_text weights, const weft_genotype_sink* out, const weft_writer* error);
} weft_relaxation_1;

#define WEFT_ENCODING_1 "weft.space.encoding/1"
typedef struct weft_encoding_1 {
  uint64_t size;
  weft_status (*length)(void* self, uint64_t* out, const weft_writer* error);
  /* Fills `values`, which has room for exactly `length` numbers. */
  weft_status (*encode)(void* self, const weft_genotype* genotype, double* values, uint64_t length,
                        const weft_writer* error);
} weft_encoding_1;

/* ---- optimizer -------------------------------------------------------------------------------------------- */

typedef struct weft_proposal {
  uint64_t size;
  weft_genotype genotype;
  int64_t parent;     /* trial whose weights may be inherited, or -1 */
  weft_text transfer; /* JSON or empty: how they are inherited */
  weft_text fidelity; /* JSON or empty */
  weft_text notes;    /* JSON or empty: kept with the trial and handed back by tell */
} weft_proposal;

typedef struct weft_proposal_sink {
  void* context;
  void (*receive)(void* context, const weft_proposal* proposal);
} weft_proposal_sink;

enum { WEFT_WAITING = 0, WEFT_RUNNING = 1, WEFT_PAUSED = 2, WEFT_COMPLETE = 3, WEFT_PRUNED = 4, WEFT_FAIL = 5 };

typedef struct weft_result {
  uint64_t size;
  int64_t trial; /* proposals are numbered 0, 1, 2, ... in the order in which ask returned them */
  int32_t state;
  weft_genotype genotype;
  double reward;            /* to be maximised; meaningful for WEFT_COMPLETE only */
  const double* objectives; /* in the pipeline's order; empty unless WEFT_COMPLETE */
  uint64_t objective_count;
  weft_text fidelity;
  weft_text metrics; /* JSON object */
  weft_text notes;
  weft_text reason; /* why it was pruned or failed */
  /* Since 1.1. The reward that a stopper predicted of a trial that it ended before its time (WEFT_PRUNED); not a number
   * where it did not. */
  double predicted;
} weft_result;

typedef struct weft_trials_sink {
  void* context;
  void (*receive)(void* context, const int64_t* trials, uint64_t count);
} weft_trials_sink;

#define WEFT_OPTIMIZER_1 "weft.optimizer/1"
typedef struct weft_optimizer_1 {
  uint64_t size;
  /* Hands over at most `capacity` proposals; fewer, or none, means: waiting for results. Of 0 nothing changes. */
  weft_status (*ask)(void* self, uint64_t capacity, const weft_proposal_sink* out, const weft_writer* error);
  weft_status (*tell)(void* self, const weft_result* result, const weft_writer* error);
  weft_status (*finished)(void* self, int32_t* out, const weft_writer* error);
  /* Since 1.1. Hands over, in one call or several, the trials that may still be named as parents: the weights of no
   * others are kept for that. Where weights are not inherited, it is null or makes no call. */
  weft_status (*retain)(void* self, const weft_trials_sink* out, const weft_writer* error);
  /* Since 1.1. Hands over, in one call or several, the trials that a later proposal may go on from ("resume_from" of
   * its fidelity): the checkpoints of no others are kept. Where nothing is gone on from, it is null or makes no call.
   */
  weft_status (*resumable)(void* self, const weft_trials_sink* out, const weft_writer* error);
} weft_optimizer_1;

/* ---- evaluator -------------------------------------------------------------------------------------------- */

typedef struct weft_request {
  uint64_t size;
  int64_t trial;
  weft_genotype genotype;
  weft_text fidelity;      /* JSON or empty */
  weft_text transfer;      /* JSON or empty: how weights follow from the parent's */
  weft_text folder;        /* the trial's own folder, or empty: nothing can be kept */
  weft_text parent_folder; /* of the trial that is resumed, else of the parent; or empty */
  weft_rng rng;            /* the trial's stream: the same on every attempt */
  /* Since 1.1, which tells apart what parent_folder is either of. */
  weft_text resume_folder;  /* of the trial that is resumed, or empty */
  weft_text inherit_folder; /* of the parent whose weights the transfer is about, or empty */
} weft_request;

typedef struct weft_reporter {
  uint64_t size;
  void* context;
  /* `report` is a JSON object with an integer "epoch"; since 1.1 also "epochs", of how many. Returns 0 to continue, 1
   * to stop, 2 to pause: checkpoint and return. */
  int32_t (*report)(void* context, weft_text report);
} weft_reporter;

enum { WEFT_GO_ON = 0, WEFT_STOP = 1, WEFT_PAUSE = 2 };

#define WEFT_EVALUATOR_1 "weft.evaluator/1"
typedef struct weft_evaluator_1 {
  uint64_t size;
  /* Writes the metrics, a JSON object of numbers; with a string member "state" set to "PRUNED" or "PAUSED" when
   * the reporter ended it early. */
  weft_status (*evaluate)(void* self, const weft_request* request, const weft_reporter* reporter,
                          const weft_writer* metrics, const weft_writer* error);
} weft_evaluator_1;

/* Since 1.1. A one-shot strategy: one network that holds every architecture of the space is trained, and architectures
 * are derived from it. */
#define WEFT_ONESHOT_1 "weft.oneshot/1"
typedef struct weft_oneshot_1 {
  uint64_t size;
  /* `request` has no genotype, its trial is -1. Writes {"derived": [{"genotype", "metrics": {name: number, ..}}, ..],
   * "metrics": {name: number, ..}}, the best architecture first; with a string member "state" as an evaluator writes it
   * when the reporter ended it early. Its folder is kept; checkpoint.pt goes when it has ended. */
  weft_status (*search)(void* self, const weft_request* request, const weft_reporter* reporter, const weft_writer* out,
                        const weft_writer* error);
} weft_oneshot_1;

/* What a data set (or anything else that defines the problem) says of itself. */
#define WEFT_TASK_1 "weft.task/1"
typedef struct weft_task_1 {
  uint64_t size;
  /* Writes {"input": [channels, height, width], "classes": n, "splits": {"train": n, ..}}. */
  weft_status (*describe)(void* self, const weft_writer* out, const weft_writer* error);
} weft_task_1;

/* ---- objective -------------------------------------------------------------------------------------------- */

#define WEFT_OBJECTIVE_1 "weft.objective/1"
typedef struct weft_objective_1 {
  uint64_t size;
  /* 1 when larger is better, -1 when smaller is. */
  weft_status (*direction)(void* self, int32_t* out, const weft_writer* error);
  /* The value as far as the candidate alone tells it; *known is 0 when only an evaluation can say. Null if never. */
  weft_status (*before)(void* self, weft_text candidate, double* value, int32_t* known, const weft_writer* error);
  /* The value after an evaluation, from its metrics. Null when `before` always knows. */
  weft_status (*after)(void* self, weft_text metrics, double* value, const weft_writer* error);
  /* Since 1.1. The least and the largest value there can be; *known is 0 where there is no bound. Null: not said. */
  weft_status (*range)(void* self, double* least, double* largest, int32_t* known, const weft_writer* error);
} weft_objective_1;

/* ---- operation -------------------------------------------------------------------------------------------- */

/* Since 1.1. An operation of architecture graphs, called as its plugin is. How it is computed says a plugin of kind
 * `module`, of the torch tier, of the same name. Shapes are JSON: [channels, height, width], [features] or [positions,
 * features]. */
#define WEFT_OPERATION_1 "weft.operation/1"
typedef struct weft_operation_1 {
  uint64_t size;
  /* Writes {"attributes": {name: default, or null where it must be given, ..}, "min_inputs": n, "max_inputs": n or null,
   * "commutative": whether the order of the inputs does not matter}. */
  weft_status (*describe)(void* self, const weft_writer* out, const weft_writer* error);
  /* Of attributes that are complete, and a list of shapes: writes {"attributes", in normal form, "shape" of the output,
   * "parameters", "multiply_adds", "activation_bytes" of one example}. WEFT_INVALID where they do not fit. */
  weft_status (*infer)(void* self, weft_text attributes, weft_text inputs, const weft_writer* out,
                       const weft_writer* error);
} weft_operation_1;

/* ---- ingredients of a training recipe ------------------------------------------------------------------------ */

/* Since 1.1. A moment of a training, in epochs. */
typedef struct weft_moment {
  uint64_t size;
  double elapsed; /* since the start: a fraction within an epoch */
  double warmup;  /* of the first of them the recipe says the rate itself; `elapsed` is at least this */
  double epochs;  /* that the schedule takes in all, warm-up included */
} weft_moment;

#define WEFT_SCHEDULE_1 "weft.schedule/1"
typedef struct weft_schedule_1 {
  uint64_t size;
  /* The learning rate, of which `lr` is the recipe's. The same moment, the same answer. */
  weft_status (*rate)(void* self, double lr, const weft_moment* at, double* out, const weft_writer* error);
  /* What the update rule's momentum is at that moment; *known is 0 where the schedule leaves it to the rule. Null: never
   * said. */
  weft_status (*momentum)(void* self, const weft_moment* at, double* out, int32_t* known, const weft_writer* error);
} weft_schedule_1;

/* ---- learning curves: predictors and stoppers --------------------------------------------------------------- */

/* Since 1.1. A training as far as it has come. */
typedef struct weft_curve {
  uint64_t size;
  int64_t trial;
  const int32_t* epochs; /* of the points, ascending, counted from 1 */
  const double* rewards; /* the first objective after each, as a reward: to be maximised */
  uint64_t count;
  int32_t horizon;    /* how many epochs it is to have; 0 where that is not known */
  weft_text features; /* JSON object: what is trained (weft/curve.hpp) */
  weft_text fidelity; /* JSON or empty */
  weft_text report;   /* the last one, JSON; or empty */
} weft_curve;

typedef struct weft_prediction {
  uint64_t size;
  double mean;              /* of the reward after `horizon` epochs */
  double deviation;         /* standard deviation */
  double probability_above; /* that it is above the threshold */
} weft_prediction;

typedef struct weft_prediction_sink {
  void* context;
  void (*receive)(void* context, const weft_prediction* prediction);
} weft_prediction_sink;

#define WEFT_PREDICTOR_1 "weft.predictor/1"
typedef struct weft_predictor_1 {
  uint64_t size;
  /* Learns from these finished trainings, in place of all that it learned before. */
  weft_status (*fit)(void* self, const weft_curve* const* curves, uint64_t count, const weft_writer* error);
  /* Calls `out` once, or not at all where nothing can be said of this curve. The same curve, the same answer. */
  weft_status (*predict)(void* self, const weft_curve* partial, int32_t horizon, double threshold,
                         const weft_prediction_sink* out, const weft_writer* error);
} weft_predictor_1;

typedef struct weft_judgement {
  uint64_t size;
  int32_t verdict;  /* WEFT_GO_ON, WEFT_STOP or WEFT_PAUSE */
  double predicted; /* of a trial that is stopped: what the optimizer may take as its reward; else not a number */
  weft_text reason; /* in words; empty where it goes on */
} weft_judgement;

typedef struct weft_judgement_sink {
  void* context;
  void (*receive)(void* context, const weft_judgement* judgement);
} weft_judgement_sink;

#define WEFT_STOPPER_1 "weft.stopper/1"
typedef struct weft_stopper_1 {
  uint64_t size;
  /* Of every report; a trial that was interrupted may report an epoch anew, and counts once. */
  weft_status (*observe)(void* self, const weft_curve* curve, const weft_writer* error);
  /* Of a curve that was just observed: whether it should go on. Calls `out` once. What it learns here it must learn
   * just as well later: a study that is resumed observes again, and is not judged again. */
  weft_status (*judge)(void* self, const weft_curve* curve, const weft_judgement_sink* out, const weft_writer* error);
  /* Of every trial that ended. `reward` is not a number unless `state` is WEFT_COMPLETE. */
  weft_status (*end)(void* self, const weft_curve* curve, int32_t state, double reward, const weft_writer* error);
} weft_stopper_1;

/* ---- the random stream, in C -------------------------------------------------------------------------------- */

/* Numbers of a stream, by advancing its `counter`: the very ones that weft/rng.hpp draws. The block function is
 * Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). */
static inline void weft_philox4x32(uint32_t counter[4], uint64_t key) {
  uint32_t low = (uint32_t)key;
  uint32_t high = (uint32_t)(key >> 32);
  int round;
  for (round = 0; round < 10; ++round) {
    const uint64_t a = (uint64_t)0xD2511F53U * counter[0];
    const uint64_t b = (uint64_t)0xCD9E8D57U * counter[2];
    counter[0] = (uint32_t)(b >> 32) ^ counter[1] ^ low;
    counter[1] = (uint32_t)b;
    counter[2] = (uint32_t)(a >> 32) ^ counter[3] ^ high;
    counter[3] = (uint32_t)a;
    low += 0x9E3779B9U;
    high += 0xBB67AE85U;
  }
}

/* 64 bits. */
static inline uint64_t weft_rng_next(weft_rng* rng) {
  uint32_t block[4];
  block[0] = (uint32_t)rng->counter;
  block[1] = (uint32_t)(rng->counter >> 32);
  block[2] = (uint32_t)rng->stream;
  block[3] = (uint32_t)(rng->stream >> 32);
  weft_philox4x32(block, rng->key);
  ++rng->counter;
  return ((uint64_t)block[1] << 32) | block[0];
}

/* Uniform in [0, 1). */
static inline double weft_rng_uniform(weft_rng* rng) { return (double)(weft_rng_next(rng) >> 11) * 0x1.0p-53; }

/* Uniform over 0 .. count-1, without bias; count > 0. */
static inline uint64_t weft_rng_below(weft_rng* rng, uint64_t count) {
  const uint64_t limit = UINT64_MAX - UINT64_MAX % count;
  uint64_t draw = weft_rng_next(rng);
  while (draw >= limit) draw = weft_rng_next(rng);
  return draw % count;
}

/* FNV-1a, which makes a number of a name; `hash` is what came before. */
#define WEFT_HASH_OF_NOTHING 0xcbf29ce484222325U
static inline uint64_t weft_hash_text(weft_text text, uint64_t hash) {
  uint64_t i;
  for (i = 0; i < text.size; ++i) hash = (hash ^ (unsigned char)text.data[i]) * 0x100000001b3U;
  return hash;
}

/* An independent stream, the same whenever it is derived: from a name, an index, or both. */
static inline weft_rng weft_rng_derive(const weft_rng* rng, weft_text name, uint64_t index) {
  const uint64_t parent = rng->stream * 0x9E3779B97F4A7C15U + 0x632BE59BD9B4E019U;
  weft_rng derived;
  derived.key = rng->key;
  derived.stream = (weft_hash_text(name, parent ^ WEFT_HASH_OF_NOTHING) ^ index) * 0xD6E8FEB86659FD93U + index;
  derived.counter = 0;
  return derived;
}

#ifdef __cplusplus
}
#endif

/* ---- the export line ------------------------------------------------------------------------------------------ */

#define WEFT_STRINGIZE_(x) #x
#define WEFT_STRINGIZE(x) WEFT_STRINGIZE_(x)
#if defined(__clang__)
#define WEFT_COMPILER_TAG "clang" WEFT_STRINGIZE(__clang_major__)
#else
#define WEFT_COMPILER_TAG "gcc" WEFT_STRINGIZE(__GNUC__)
#endif
#ifndef WEFT_TORCH_TAG
#define WEFT_TORCH_TAG ""
#endif
#ifdef __cplusplus
#define WEFT_EXTERN_C_ extern "C"
#else
#define WEFT_EXTERN_C_ extern
#endif

/* Everything in front of the torch tag, with which the stamp ends. */
#define WEFT_STAMP_(build_tag) "weft abi=" WEFT_PLUGIN_ABI " build=" build_tag " torch="

/* Descriptor and stamp over weft_plugin_components. The descriptor's torch tag is the end of the stamp: a linker that
 * drops what nothing refers to (--gc-sections, link-time optimisation) keeps the two together. */
#define WEFT_EXPORT_(build_tag)                                                                 \
  __attribute__((section(".weft.stamp"), used)) static const char weft_plugin_stamp[] =         \
      WEFT_STAMP_(build_tag) WEFT_TORCH_TAG;                                                    \
  WEFT_EXTERN_C_ __attribute__((visibility("default"))) const weft_descriptor weft_plugin;      \
  const weft_descriptor weft_plugin = {WEFT_MAGIC,                                              \
                                       sizeof(weft_descriptor),                                 \
                                       WEFT_ABI_MAJOR,                                          \
                                       WEFT_ABI_MINOR,                                          \
                                       build_tag,                                               \
                                       weft_plugin_stamp + sizeof(WEFT_STAMP_(build_tag)) - 1,  \
                                       weft_plugin_components,                                  \
                                       sizeof(weft_plugin_components) / sizeof(weft_component), \
                                       sizeof(weft_component)};

/* The last line of a plugin in C, with one WEFT_COMPONENT for each thing that it offers:
 *
 *   WEFT_PLUGIN_C(WEFT_COMPONENT("optimizer", "mine", create, destroy, find_interface))
 */
#define WEFT_COMPONENT(kind, name, create, destroy, find_interface) \
  { sizeof(weft_component), kind, name, create, destroy, find_interface }
#define WEFT_PLUGIN_C(...)                                              \
  static const weft_component weft_plugin_components[] = {__VA_ARGS__}; \
  WEFT_EXPORT_(WEFT_COMPILER_TAG "/c")

#endif
