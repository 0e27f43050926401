"""What is said of the figures: tables, the page of results, the roofline picture."""
