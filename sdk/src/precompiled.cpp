// Exists to hold a precompiled header that the plugins of a tier share.
