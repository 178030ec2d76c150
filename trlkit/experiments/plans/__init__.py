"""The plans, one a file: the question, what was expected before the run, and the grid."""
