"""`make bench`: speed as ratios against something measured in the same run, over the network only."""
