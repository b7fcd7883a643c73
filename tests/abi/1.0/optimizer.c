/* An optimizer of release 1.0: written in C, against that release's weft/abi.h and nothing else. Every later host must load
 * it and get the same proposals for the same seed.
 *
 * It samples the space; every other proposal is, where the space can, a mutation of the best so far. */
#include <stdlib.h>
#include <string.h>

#include "weft/abi.h"

struct optimizer {
  weft_handle space;
  const weft_space_1* sampling;
  const weft_mutation_1* mutation; /* null: the space has none */
  weft_rng rng;
  uint64_t asked;
  int32_t* best;
  uint64_t best_count;
  double best_reward;
};

static void complain(const weft_writer* error, const char* text) { error->write(error->context, text, strlen(text)); }

static weft_status create(const weft_context* context, void** instance, const weft_writer* error) {
  static const char role[] = "space";
  struct optimizer* self = calloc(1, sizeof *self);
  weft_text name;
  weft_status status;
  if (self == NULL) {
    complain(error, "out of memory");
    return WEFT_FAILED;
  }
  name.data = role;
  name.size = sizeof role - 1;
  status = context->collaborator(context->host, name, &self->space, error);
  if (status != WEFT_OK) {
    free(self);
    return status;
  }
  self->sampling = self->space.component->find_interface(WEFT_SPACE_1);
  self->mutation = self->space.component->find_interface(WEFT_MUTATION_1);
  self->rng = context->rng;
  *instance = self;
  return WEFT_OK;
}

static void destroy(void* instance) {
  struct optimizer* self = instance;
  free(self->best);
  free(self);
}

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
    weft_status status;
    if (self->asked++ % 2 == 1 && self->best != NULL && self->mutation != NULL) {
      weft_genotype parent;
      memset(&parent, 0, sizeof parent);
      parent.decisions = self->best;
      parent.count = self->best_count;
      status = self->mutation->mutate(self->space.instance, &parent, &self->rng, &sink, error);
    } else {
      status = self->sampling->sample(self->space.instance, &self->rng, &sink, error);
    }
    if (status != WEFT_OK) return status;
  }
  return WEFT_OK;
}

static weft_status tell(void* instance, const weft_result* result, const weft_writer* error) {
  struct optimizer* self = instance;
  int32_t* copy;
  if (result->state != WEFT_COMPLETE || result->genotype.count == 0) return WEFT_OK;
  if (self->best != NULL && result->reward <= self->best_reward) return WEFT_OK;
  copy = malloc(result->genotype.count * sizeof *copy);
  if (copy == NULL) {
    complain(error, "out of memory");
    return WEFT_FAILED;
  }
  memcpy(copy, result->genotype.decisions, result->genotype.count * sizeof *copy);
  free(self->best);
  self->best = copy;
  self->best_count = result->genotype.count;
  self->best_reward = result->reward;
  return WEFT_OK;
}

static weft_status finished(void* instance, int32_t* out, const weft_writer* error) {
  (void)instance;
  (void)error;
  *out = 0;
  return WEFT_OK;
}

static const weft_optimizer_1 table = {sizeof table, ask, tell, finished};

static const void* find_interface(const char* id) { return strcmp(id, WEFT_OPTIMIZER_1) == 0 ? &table : NULL; }

static const weft_component components[] = {
    {sizeof(weft_component), "optimizer", "frozen", create, destroy, find_interface}};

extern const weft_descriptor weft_plugin;
__attribute__((visibility("default"))) const weft_descriptor weft_plugin = {
    WEFT_MAGIC, sizeof weft_plugin, 1, 0, "c11", "", components, 1, sizeof(weft_component)};

__attribute__((section(".weft.stamp"), used)) static const char stamp[] = "weft abi=1.0 build=c11 torch=";
