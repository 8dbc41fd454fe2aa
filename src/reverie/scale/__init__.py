"""Many processes, many machines, and programs that know nothing of reverie: executors, shards, DDP, export."""
