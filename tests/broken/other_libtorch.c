void other_libtorch(void);
void other_libtorch(void) {}
