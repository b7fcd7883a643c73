#ifdef INNER
int test_inner() { return 41; }
#else
int test_inner();
int test_outer() { return test_inner() + 1; }
#endif
