"""What a validation found: frozen results, their sentences, and their JSON."""
