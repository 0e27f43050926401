"""What makes a release of the tree: wheels, what is in them, and what shows that they work. See docs/packaging.md."""
