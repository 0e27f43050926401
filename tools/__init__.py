"""What the project is built and measured with. Nothing here is installed."""
