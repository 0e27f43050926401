"""Plans: programs that run by one call, and what becomes real with them."""
