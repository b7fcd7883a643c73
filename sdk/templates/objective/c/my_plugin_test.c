/* A network worked out by hand. That the plugin keeps the contract of objectives is a test of its own, `weft plugin
 * validate`. */

#include "my_plugin.c"

#include "check.h"

/* Two convolutions and the classifier on the longer way, one and the classifier on the shorter. */
static const char network[] =
    "{\"recipe\": {}, \"architecture\": {\"architecture\": 1, \"output\": \"classes\", \"nodes\": ["
    "{\"name\": \"input\", \"operation\": \"input\", \"inputs\": [], \"attributes\": {\"shape\": [3, 8, 8]}},"
    "{\"name\": \"stem\", \"operation\": \"conv2d\", \"inputs\": [\"input\"]},"
    "{\"name\": \"longer\", \"operation\": \"conv2d\", \"inputs\": [\"stem\"]},"
    "{\"name\": \"sum\", \"operation\": \"add\", \"inputs\": [\"stem\", \"longer\"]},"
    "{\"name\": \"pool\", \"operation\": \"global_avg_pool\", \"inputs\": [\"sum\"]},"
    "{\"name\": \"classes\", \"operation\": \"linear\", \"inputs\": [\"pool\"]}]}}";

static weft_status value_of(const char* candidate, double* value, int32_t* known) {
  return before(NULL, text_of(candidate), value, known, &words);
}

int main(void) {
  double value = 0.0;
  int32_t known = 0;
  CHECK(value_of(network, &value, &known) == WEFT_OK && known == 1 && value == 3.0);
  CHECK(value_of("{\"architecture\": {\"nodes\": [], \"output\": \"x\"}}", &value, &known) == WEFT_INVALID);
  CHECK(value_of("{\"architecture\": {\"nodes\": [{\"name\": \"a\", \"operation\": \"add\", \"inputs\": [\"b\"]}],"
                 "\"output\": \"a\"}}",
                 &value, &known) == WEFT_INVALID);
  CHECK(value_of("[1", &value, &known) == WEFT_INVALID);
  return failures;
}
