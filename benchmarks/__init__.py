"""Tables that anyone can print again; run as modules from the root of the checkout."""
