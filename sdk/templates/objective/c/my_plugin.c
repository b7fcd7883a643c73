/* my_plugin: the depth of a network, the number of convolutions and linear layers on its longest path.
 *
 * before() is for what the graph alone tells; candidates over a limit are then refused untrained. An objective that is
 * measured has after() instead, which is given the evaluation's metrics, and says so in its manifest: no
 * "objective.before" in `provides`, and "metric.<name>" in `requires`. */

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "weft/abi.h"

/* A node of the graph, with the weights on the longest path to it. */
struct node {
  json name;
  int depth;
};

static weft_status fail(const weft_writer* error, weft_status status, const char* words) {
  error->write(error->context, words, strlen(words));
  return status;
}

static const struct node* find(const struct node* nodes, size_t count, json name) {
  while (count-- > 0) { /* inputs come shortly before their readers */
    if (json_same_text(nodes[count].name, name)) return &nodes[count];
  }
  return NULL;
}

static size_t count_items(json list) {
  size_t count = 0;
  json item = json_none;
  while (json_next(list, NULL, &item)) ++count;
  return count;
}

/* The depth of a node whose inputs are among the `count` before it; -1 where one is not. */
static int depth_of(json node, const struct node* nodes, size_t count) {
  const json operation = json_member(node, "operation");
  const json inputs = json_member(node, "inputs");
  json input = json_none;
  int deepest = 0;
  while (json_next(inputs, NULL, &input)) {
    const struct node* found = find(nodes, count, input);
    if (found == NULL) return -1;
    if (found->depth > deepest) deepest = found->depth;
  }
  return deepest + (json_is_text(operation, "conv2d") || json_is_text(operation, "linear"));
}

/* The depth of the graph's output; -1 where it is no graph. */
static int depth_of_graph(json architecture, struct node* nodes) {
  const json list = json_member(architecture, "nodes");
  json node = json_none;
  size_t count = 0;
  const struct node* output;
  for (; json_next(list, NULL, &node); ++count) {
    nodes[count].name = json_member(node, "name");
    nodes[count].depth = depth_of(node, nodes, count);
    if (nodes[count].depth < 0) return -1;
  }
  output = find(nodes, count, json_member(architecture, "output"));
  return output != NULL ? output->depth : -1;
}

static weft_status before(void* self, weft_text candidate, double* value, int32_t* known, const weft_writer* error) {
  const json architecture = json_member(json_read(candidate.data, candidate.size), "architecture");
  struct node* nodes = calloc(count_items(json_member(architecture, "nodes")) + 1, sizeof *nodes);
  int depth;
  (void)self;
  if (nodes == NULL) return fail(error, WEFT_FAILED, "out of memory");
  depth = depth_of_graph(architecture, nodes);
  free(nodes);
  if (depth < 0) return fail(error, WEFT_INVALID, "this is no candidate: it has no graph whose nodes come in order");
  *value = depth;
  *known = 1;
  return WEFT_OK;
}

static weft_status direction(void* self, int32_t* out, const weft_writer* error) {
  (void)self;
  (void)error;
  *out = -1; /* smaller is better */
  return WEFT_OK;
}

/* There is nothing to remember, but an instance must not be null. */
static weft_status create(const weft_context* context, void** instance, const weft_writer* error) {
  static char nothing;
  (void)context;
  (void)error;
  *instance = &nothing;
  return WEFT_OK;
}

static void destroy(void* instance) { (void)instance; }

static const weft_objective_1 table = {sizeof table, direction, before, NULL, NULL};

static const void* find_interface(const char* id) { return strcmp(id, WEFT_OBJECTIVE_1) == 0 ? &table : NULL; }

WEFT_PLUGIN_C(WEFT_COMPONENT("objective", "my_plugin", create, destroy, find_interface))
