"""What others do, or a user could write by hand: one small file each, run in an environment of their own."""
