"""What a network is to learn: its objective, its measure and its place in the report, one file a task."""
