/* The optimizer on a space of a single decision: sampling takes option 1, mutation adds 100 to it. That it keeps the
 * contract of optimizers is a test of its own, `weft plugin validate`. */

#include "my_plugin.c"

#include "check.h"

static weft_status sample(void* self, weft_rng* rng, const weft_genotype_sink* out, const weft_writer* error) {
  static const int32_t one = 1;
  const weft_genotype genotype = {&one, 1, {NULL, 0}};
  (void)self;
  (void)rng;
  (void)error;
  out->receive(out->context, &genotype);
  return WEFT_OK;
}

static weft_status mutate(void* self, const weft_genotype* parent, weft_rng* rng, const weft_genotype_sink* out,
                          const weft_writer* error) {
  const int32_t changed = parent->decisions[0] + 100;
  const weft_genotype genotype = {&changed, 1, {NULL, 0}};
  (void)self;
  (void)rng;
  (void)error;
  out->receive(out->context, &genotype);
  return WEFT_OK;
}

static const weft_space_1 space_table = {sizeof space_table, sample, NULL, NULL, NULL};
static const weft_mutation_1 mutation_table = {sizeof mutation_table, mutate};

static const void* find_in_space(const char* id) {
  if (strcmp(id, WEFT_SPACE_1) == 0) return &space_table;
  return strcmp(id, WEFT_MUTATION_1) == 0 ? &mutation_table : NULL;
}

static const weft_component space = {sizeof space, "space", "one_decision", NULL, NULL, find_in_space};

static weft_status find_space(void* host, weft_text role, weft_handle* found, const weft_writer* error) {
  (void)host;
  (void)error;
  CHECK(role.size == 5 && memcmp(role.data, "space", 5) == 0);
  found->component = &space;
  found->instance = NULL;
  return WEFT_OK;
}

struct seen {
  int count, samples, mutations_of_best;
};

static void look(void* context, const weft_proposal* proposal) {
  struct seen* seen = context;
  ++seen->count;
  seen->samples += proposal->genotype.decisions[0] == 1;
  seen->mutations_of_best += proposal->genotype.decisions[0] == 107;
  CHECK(proposal->parent == -1);
}

static struct seen proposals_of(void* instance, uint64_t capacity) {
  struct seen seen = {0, 0, 0};
  const weft_proposal_sink sink = {&seen, look};
  CHECK(ask(instance, capacity, &sink, &words) == WEFT_OK);
  return seen;
}

static void tell_of(void* instance, int32_t option, int32_t state, double reward) {
  weft_result result;
  memset(&result, 0, sizeof result);
  result.size = sizeof result;
  result.state = state;
  result.genotype.decisions = &option;
  result.genotype.count = 1;
  result.reward = reward;
  CHECK(tell(instance, &result, &words) == WEFT_OK);
}

static weft_status create_with(const char* configuration, void** instance) {
  weft_context context;
  memset(&context, 0, sizeof context);
  context.size = sizeof context;
  context.configuration = text_of(configuration);
  context.rng.key = 1;
  context.collaborator = find_space;
  return create(&context, instance, &words);
}

int main(void) {
  void* instance = NULL;
  struct seen seen;
  CHECK(create_with("{}", &instance) == WEFT_INVALID);
  CHECK(create_with("{\"mutation_probability\": 0.5}", &instance) == WEFT_OK);
  seen = proposals_of(instance, 50);
  CHECK(seen.count == 50 && seen.samples == 50); /* nothing is known yet */
  tell_of(instance, 3, WEFT_COMPLETE, 0.2);
  tell_of(instance, 7, WEFT_COMPLETE, 0.9);
  tell_of(instance, 5, WEFT_COMPLETE, 0.5);
  tell_of(instance, 9, WEFT_FAIL, 0.0);
  seen = proposals_of(instance, 1000);
  CHECK(seen.count == 1000 && seen.samples + seen.mutations_of_best == 1000);
  CHECK(seen.mutations_of_best > 420 && seen.mutations_of_best < 580); /* five standard deviations */
  CHECK(proposals_of(instance, 0).count == 0);
  destroy(instance);
  return failures;
}
