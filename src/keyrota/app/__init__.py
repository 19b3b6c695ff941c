"""What people and AWS call: wiring, configuration, clock, words, the command line."""
