"""Load scenarios for both stacks, over the network only."""
