"""The SavedModels at work: a client in C++, checks in processes of their own, latency."""
