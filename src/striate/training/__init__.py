"""The loop as a generator, optimisers, schedules, checkpoints.  Knows no dataset, no model, no logger."""
