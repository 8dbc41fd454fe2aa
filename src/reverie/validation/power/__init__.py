"""What a test can see: events needed, biases beside statistical errors, and power studies with planted faults."""
