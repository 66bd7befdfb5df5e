"""Floor 4: CPU code through LLVM: Loops -> LLVM IR text -> object -> linked in process, run by a thread pool."""
