"""What is known of a network without data: shapes, parameters, operations, memory, receptive fields."""
