"""What every room stands on: errors, axis letters, counter-based random numbers, safe files."""
