/* my_plugin: draws architectures at random, and with some probability mutates the best one so far instead.
 *
 * ask() proposes, tell() learns how a trial ended. All randomness comes from the context's stream, so that a study can
 * be resumed: the same results in the same order give the same proposals. */

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "weft/abi.h"

/* A genotype that outlives the call which lent it. */
struct genotype {
  int32_t* decisions;
  uint64_t count;
  char* opaque;
  uint64_t opaque_size;
};

struct optimizer {
  weft_handle space;
  const weft_space_1* sampling;
  const weft_mutation_1* mutation;
  weft_rng rng;
  double mutation_probability;
  int has_best;
  struct genotype best;
  double best_reward;
};

static weft_status fail(const weft_writer* error, weft_status status, const char* words) {
  error->write(error->context, words, strlen(words));
  return status;
}

/* ---- genotypes -------------------------------------------------------------------------------------------------- */

static void drop(struct genotype* genotype) {
  free(genotype->decisions);
  free(genotype->opaque);
}

/* Replaces what was kept; 0 when memory is out, and then it is still what it was. */
static int keep(struct genotype* kept, const weft_genotype* lent) {
  struct genotype copy;
  copy.count = lent->count;
  copy.opaque_size = lent->opaque.size;
  copy.decisions = malloc(lent->count * sizeof *copy.decisions + 1);
  copy.opaque = malloc(lent->opaque.size + 1);
  if (copy.decisions == NULL || copy.opaque == NULL) {
    drop(&copy);
    return 0;
  }
  if (lent->count != 0) memcpy(copy.decisions, lent->decisions, lent->count * sizeof *copy.decisions);
  if (lent->opaque.size != 0) memcpy(copy.opaque, lent->opaque.data, lent->opaque.size);
  drop(kept);
  *kept = copy;
  return 1;
}

static weft_genotype lend(const struct genotype* kept) {
  weft_genotype lent;
  lent.decisions = kept->decisions;
  lent.count = kept->count;
  lent.opaque.data = kept->opaque;
  lent.opaque.size = kept->opaque_size;
  return lent;
}

/* ---- the optimizer ---------------------------------------------------------------------------------------------- */

static void destroy(void* instance) {
  struct optimizer* self = instance;
  drop(&self->best);
  free(self);
}

static weft_status set_up(struct optimizer* self, const weft_context* context, const weft_writer* error) {
  static const weft_text role = {"space", 5};
  const json configuration = json_read(context->configuration.data, context->configuration.size);
  weft_status status;
  if (!json_number(json_member(configuration, "mutation_probability"), &self->mutation_probability))
    return fail(error, WEFT_INVALID, "/mutation_probability must be a number");
  status = context->collaborator(context->host, role, &self->space, error);
  if (status != WEFT_OK) return status;
  self->sampling = self->space.component->find_interface(WEFT_SPACE_1);
  self->mutation = self->space.component->find_interface(WEFT_MUTATION_1);
  if (self->sampling == NULL || self->mutation == NULL)
    return fail(error, WEFT_INVALID, "needs a space with " WEFT_SPACE_1 " and " WEFT_MUTATION_1);
  self->rng = context->rng;
  return WEFT_OK;
}

static weft_status create(const weft_context* context, void** instance, const weft_writer* error) {
  struct optimizer* self = calloc(1, sizeof *self);
  weft_status status;
  if (self == NULL) return fail(error, WEFT_FAILED, "out of memory");
  status = set_up(self, context, error);
  if (status == WEFT_OK)
    *instance = self;
  else
    destroy(self);
  return status;
}

/* The space hands over a genotype, which is passed on as a proposal. */
static void propose(void* context, const weft_genotype* genotype) {
  const weft_proposal_sink* out = context;
  weft_proposal proposal;
  memset(&proposal, 0, sizeof proposal);
  proposal.size = sizeof proposal;
  proposal.genotype = *genotype;
  proposal.parent = -1;
  out->receive(out->context, &proposal);
}

static weft_status ask(void* instance, uint64_t capacity, const weft_proposal_sink* out, const weft_writer* error) {
  struct optimizer* self = instance;
  weft_genotype_sink sink;
  uint64_t i;
  sink.context = (void*)out;
  sink.receive = propose;
  for (i = 0; i < capacity; ++i) {
    const weft_genotype best = lend(&self->best);
    weft_status status;
    if (self->has_best && weft_rng_uniform(&self->rng) < self->mutation_probability)
      status = self->mutation->mutate(self->space.instance, &best, &self->rng, &sink, error);
    else
      status = self->sampling->sample(self->space.instance, &self->rng, &sink, error);
    if (status != WEFT_OK) return status;
  }
  return WEFT_OK;
}

static weft_status tell(void* instance, const weft_result* result, const weft_writer* error) {
  struct optimizer* self = instance;
  if (result->state != WEFT_COMPLETE) return WEFT_OK; /* failed and pruned trials are told, too */
  if (self->has_best && result->reward <= self->best_reward) return WEFT_OK;
  if (!keep(&self->best, &result->genotype)) return fail(error, WEFT_FAILED, "out of memory");
  self->has_best = 1;
  self->best_reward = result->reward; /* always to be maximised */
  return WEFT_OK;
}

static weft_status finished(void* instance, int32_t* out, const weft_writer* error) {
  (void)instance;
  (void)error;
  *out = 0;
  return WEFT_OK;
}

static const weft_optimizer_1 table = {sizeof table, ask, tell, finished, NULL, NULL};

static const void* find_interface(const char* id) { return strcmp(id, WEFT_OPTIMIZER_1) == 0 ? &table : NULL; }

WEFT_PLUGIN_C(WEFT_COMPONENT("optimizer", "my_plugin", create, destroy, find_interface))
