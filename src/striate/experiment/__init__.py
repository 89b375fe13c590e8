"""The recipe, the run folder, the wiring: recipe in, finished run with report and bundle out."""
