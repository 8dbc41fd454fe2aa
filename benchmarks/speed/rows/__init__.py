"""Tasks and rows of the table, one module for each family; our sides are written as a user would write them."""
