/* The layout of ABI 1.0. Compiled against the header of release 1.0 and against today's: a later minor version appends
 * members, so records may grow, and leaves every one of these members where it is. */
#include <stddef.h>
#include <string.h>

#include "weft/abi.h"

#define AT(record, member, offset) _Static_assert(offsetof(record, member) == (offset), #record "." #member)
#define SIZE(record, bytes) _Static_assert(sizeof(record) >= (bytes), #record)

_Static_assert(WEFT_ABI_MAJOR == 1, "major version");
_Static_assert(sizeof(void*) == 8, "64-bit pointers");
SIZE(weft_text, 16);
AT(weft_text, data, 0);
AT(weft_text, size, 8);
SIZE(weft_writer, 16);
AT(weft_writer, context, 0);
AT(weft_writer, write, 8);
SIZE(weft_rng, 24);
AT(weft_rng, key, 0);
AT(weft_rng, stream, 8);
AT(weft_rng, counter, 16);
SIZE(weft_genotype, 32);
AT(weft_genotype, decisions, 0);
AT(weft_genotype, count, 8);
AT(weft_genotype, opaque, 16);
SIZE(weft_genotype_sink, 16);
AT(weft_genotype_sink, context, 0);
AT(weft_genotype_sink, receive, 8);
SIZE(weft_component, 48);
AT(weft_component, size, 0);
AT(weft_component, kind, 8);
AT(weft_component, name, 16);
AT(weft_component, create, 24);
AT(weft_component, destroy, 32);
AT(weft_component, find_interface, 40);
SIZE(weft_handle, 16);
AT(weft_handle, component, 0);
AT(weft_handle, instance, 8);
SIZE(weft_context, 88);
AT(weft_context, size, 0);
AT(weft_context, configuration, 8);
AT(weft_context, study, 24);
AT(weft_context, rng, 40);
AT(weft_context, host, 64);
AT(weft_context, log, 72);
AT(weft_context, collaborator, 80);
SIZE(weft_descriptor, 56);
AT(weft_descriptor, magic, 0);
AT(weft_descriptor, struct_size, 8);
AT(weft_descriptor, abi_major, 12);
AT(weft_descriptor, abi_minor, 14);
AT(weft_descriptor, build_tag, 16);
AT(weft_descriptor, torch_tag, 24);
AT(weft_descriptor, components, 32);
AT(weft_descriptor, component_count, 40);
AT(weft_descriptor, component_stride, 48);
SIZE(weft_space_1, 40);
AT(weft_space_1, size, 0);
AT(weft_space_1, sample, 8);
AT(weft_space_1, decode, 16);
AT(weft_space_1, notation, 24);
AT(weft_space_1, parse, 32);
SIZE(weft_decision, 64);
AT(weft_decision, size, 0);
AT(weft_decision, name, 8);
AT(weft_decision, group, 24);
AT(weft_decision, kind, 40);
AT(weft_decision, step, 44);
AT(weft_decision, options, 48);
AT(weft_decision, option_count, 56);
SIZE(weft_decision_sink, 16);
AT(weft_decision_sink, context, 0);
AT(weft_decision_sink, receive, 8);
SIZE(weft_decisions_1, 32);
AT(weft_decisions_1, size, 0);
AT(weft_decisions_1, next, 8);
AT(weft_decisions_1, complete, 16);
AT(weft_decisions_1, state, 24);
SIZE(weft_mutation_1, 16);
AT(weft_mutation_1, size, 0);
AT(weft_mutation_1, mutate, 8);
SIZE(weft_crossover_1, 16);
AT(weft_crossover_1, size, 0);
AT(weft_crossover_1, cross, 8);
SIZE(weft_encoding_1, 24);
AT(weft_encoding_1, size, 0);
AT(weft_encoding_1, length, 8);
AT(weft_encoding_1, encode, 16);
SIZE(weft_proposal, 96);
AT(weft_proposal, size, 0);
AT(weft_proposal, genotype, 8);
AT(weft_proposal, parent, 40);
AT(weft_proposal, transfer, 48);
AT(weft_proposal, fidelity, 64);
AT(weft_proposal, notes, 80);
SIZE(weft_proposal_sink, 16);
AT(weft_proposal_sink, context, 0);
AT(weft_proposal_sink, receive, 8);
SIZE(weft_result, 144);
AT(weft_result, size, 0);
AT(weft_result, trial, 8);
AT(weft_result, state, 16);
AT(weft_result, genotype, 24);
AT(weft_result, reward, 56);
AT(weft_result, objectives, 64);
AT(weft_result, objective_count, 72);
AT(weft_result, fidelity, 80);
AT(weft_result, metrics, 96);
AT(weft_result, notes, 112);
AT(weft_result, reason, 128);
SIZE(weft_optimizer_1, 32);
AT(weft_optimizer_1, size, 0);
AT(weft_optimizer_1, ask, 8);
AT(weft_optimizer_1, tell, 16);
AT(weft_optimizer_1, finished, 24);
SIZE(weft_request, 136);
AT(weft_request, size, 0);
AT(weft_request, trial, 8);
AT(weft_request, genotype, 16);
AT(weft_request, fidelity, 48);
AT(weft_request, transfer, 64);
AT(weft_request, folder, 80);
AT(weft_request, parent_folder, 96);
AT(weft_request, rng, 112);
SIZE(weft_reporter, 24);
AT(weft_reporter, size, 0);
AT(weft_reporter, context, 8);
AT(weft_reporter, report, 16);
SIZE(weft_evaluator_1, 16);
AT(weft_evaluator_1, size, 0);
AT(weft_evaluator_1, evaluate, 8);
SIZE(weft_task_1, 16);
AT(weft_task_1, size, 0);
AT(weft_task_1, describe, 8);
SIZE(weft_objective_1, 32);
AT(weft_objective_1, size, 0);
AT(weft_objective_1, direction, 8);
AT(weft_objective_1, before, 16);
AT(weft_objective_1, after, 24);
_Static_assert(WEFT_OK == 0, "WEFT_OK");
_Static_assert(WEFT_INVALID == 1, "WEFT_INVALID");
_Static_assert(WEFT_FAILED == 2, "WEFT_FAILED");
_Static_assert(WEFT_CATEGORICAL == 0, "WEFT_CATEGORICAL");
_Static_assert(WEFT_ORDINAL == 1, "WEFT_ORDINAL");
_Static_assert(WEFT_REFERENCE == 2, "WEFT_REFERENCE");
_Static_assert(WEFT_WAITING == 0, "WEFT_WAITING");
_Static_assert(WEFT_RUNNING == 1, "WEFT_RUNNING");
_Static_assert(WEFT_PAUSED == 2, "WEFT_PAUSED");
_Static_assert(WEFT_COMPLETE == 3, "WEFT_COMPLETE");
_Static_assert(WEFT_PRUNED == 4, "WEFT_PRUNED");
_Static_assert(WEFT_FAIL == 5, "WEFT_FAIL");

/* Interface ids are what the two sides find each other by. */
int weft_abi_ids_are_kept(void);
int weft_abi_ids_are_kept(void) {
  return strcmp(WEFT_SPACE_1, "weft.space/1") == 0 &&
         strcmp(WEFT_DECISIONS_1, "weft.space.decisions/1") == 0 &&
         strcmp(WEFT_MUTATION_1, "weft.space.mutation/1") == 0 &&
         strcmp(WEFT_CROSSOVER_1, "weft.space.crossover/1") == 0 &&
         strcmp(WEFT_ENCODING_1, "weft.space.encoding/1") == 0 &&
         strcmp(WEFT_OPTIMIZER_1, "weft.optimizer/1") == 0 &&
         strcmp(WEFT_EVALUATOR_1, "weft.evaluator/1") == 0 &&
         strcmp(WEFT_TASK_1, "weft.task/1") == 0 &&
         strcmp(WEFT_OBJECTIVE_1, "weft.objective/1") == 0;
}
