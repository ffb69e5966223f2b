"""Programs for those who work on leap-audit: generators of documentation, fuzzing, mutants."""
